//! The built-in lists: which photos, whose faces, where.

use serde::Deserialize;

use super::DemoError;

/// Packages with their photos, and the faces in them.
pub(super) struct Table {
    pub(super) packages: Vec<Package>,
    pub(super) faces: Vec<Face>,
}

/// A package of a registry.
#[derive(Deserialize)]
pub(super) struct Package {
    /// What the list of faces calls it.
    pub(super) label: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) kind: Kind,
    pub(super) photos: Vec<Photo>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A built Python package: a zip file.
    Wheel,
    /// A Python source archive: tar.gz, everything in one folder.
    Sdist,
    /// A JavaScript package: tar.gz. Optional.
    Npm,
}

/// A photo in a package.
#[derive(Deserialize)]
pub(super) struct Photo {
    /// Path inside the archive (below its one folder for a source archive).
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A face in a photo.
#[derive(Deserialize)]
pub(super) struct Face {
    /// [`Package::label`].
    pub(super) package: String,
    /// [`Photo::path`].
    pub(super) path: String,
    pub(super) person: String,
    /// Pixels of the photo: left eye, right eye, nose, left and right mouth corner.
    pub(super) landmarks: [[f64; 2]; 5],
}

impl Package {
    /// Name and version as the registry's users write them.
    pub(super) fn title(&self) -> String {
        let equals = if self.kind == Kind::Npm { "@" } else { "==" };
        format!("{}{equals}{}", self.name, self.version)
    }
}

impl Photo {
    /// The file's name, unique among all photos.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The name without its ending.
    pub(super) fn stem(&self) -> &str {
        self.name().rsplit_once('.').map_or(self.name(), |(stem, _)| stem)
    }
}

impl Table {
    pub(super) fn embedded() -> Result<Table, DemoError> {
        Table::parse(include_str!("photos.json"), include_str!("faces.json"))
    }

    pub(super) fn parse(photos: &str, faces: &str) -> Result<Table, DemoError> {
        let wrong = |error: serde_json::Error| DemoError::Table(error.to_string());
        let packages = serde_json::from_str(photos).map_err(wrong)?;
        let faces = serde_json::from_str(faces).map_err(wrong)?;
        Ok(Table { packages, faces })
    }

    /// The faces in the photos of `package`.
    pub(super) fn faces_of<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a Face> {
        self.faces.iter().filter(|face| face.package == package.label)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_lists_fit_each_other() {
        let table = Table::embedded().unwrap();
        assert_eq!(table.faces.len(), 25);
        let photos: Vec<_> = table.packages.iter().flat_map(|p| &p.photos).collect();
        assert_eq!(photos.len(), 14);
        let stems: BTreeSet<_> = photos.iter().map(|photo| photo.stem()).collect();
        assert_eq!(stems.len(), 14, "crops are named by photo");
        let found: usize = table
            .packages
            .iter()
            .map(|package| {
                let known =
                    |face: &&Face| package.photos.iter().any(|photo| photo.path == face.path);
                table.faces_of(package).filter(known).count()
            })
            .sum();
        assert_eq!(found, 25);
        let people = |kind: fn(&Package) -> bool| {
            let packages = table.packages.iter().filter(|p| kind(p));
            packages
                .flat_map(|p| table.faces_of(p))
                .map(|f| &f.person)
                .collect::<BTreeSet<_>>()
                .len()
        };
        assert_eq!(people(|_| true), 20);
        assert_eq!(people(|package| package.kind != Kind::Npm), 7);
    }
}
