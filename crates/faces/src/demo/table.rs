//! The built-in lists: which photos, whose faces, where.

use serde::Deserialize;

use super::DemoError;
use crate::packages::Package;

/// Packages with their photos, and the faces in them.
pub(super) struct Table {
    pub(super) packages: Vec<Photos>,
    pub(super) faces: Vec<Face>,
}

/// A package with photos in it.
#[derive(Deserialize)]
pub(super) struct Photos {
    /// What the list of faces calls it.
    pub(super) label: String,
    /// Files of the package: the photos.
    #[serde(flatten)]
    pub(super) package: Package,
}

/// A face in a photo.
#[derive(Deserialize)]
pub(super) struct Face {
    /// [`Photos::label`].
    pub(super) package: String,
    /// [`File::path`](crate::packages::File).
    pub(super) path: String,
    pub(super) person: String,
    /// Pixels of the photo: left eye, right eye, nose, left and right mouth corner.
    pub(super) landmarks: [[f64; 2]; 5],
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

    /// The faces in these photos.
    pub(super) fn faces_of<'a>(&'a self, photos: &'a Photos) -> impl Iterator<Item = &'a Face> {
        self.faces.iter().filter(|face| face.package == photos.label)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::packages::Kind;
    use std::collections::BTreeSet;

    #[test]
    fn the_lists_fit_each_other() {
        let table = Table::embedded().unwrap();
        assert_eq!(table.faces.len(), 25);
        let photos: Vec<_> = table.packages.iter().flat_map(|p| &p.package.files).collect();
        assert_eq!(photos.len(), 14);
        let stems: BTreeSet<_> = photos.iter().map(|photo| photo.stem()).collect();
        assert_eq!(stems.len(), 14, "crops are named by photo");
        let found: usize = table
            .packages
            .iter()
            .map(|package| {
                let known = |face: &&Face| {
                    package.package.files.iter().any(|photo| photo.path == face.path)
                };
                table.faces_of(package).filter(known).count()
            })
            .sum();
        assert_eq!(found, 25);
        let people = |kind: fn(&Photos) -> bool| {
            let packages = table.packages.iter().filter(|p| kind(p));
            packages
                .flat_map(|p| table.faces_of(p))
                .map(|f| &f.person)
                .collect::<BTreeSet<_>>()
                .len()
        };
        assert_eq!(people(|_| true), 20);
        assert_eq!(people(|package| package.package.kind != Kind::Npm), 7);
    }
}
