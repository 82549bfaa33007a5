//! `faceshield prototypes`: the public identities that `codebook` and `independent` draw from.

use files::Escape;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use dpp::Prototypes;
use faces::Index;
use tch::{Kind, Tensor};

use crate::commands::align::device;
use crate::commands::data::bar;
use crate::commands::photos::{LinkArgs, tell_links};
use crate::commands::protect::model::{Model, rows};
use crate::failure::misuse;
use crate::output;

/// The tensor's name in the file: [people, dimensions], rows of unit length.
const NAME: &str = "prototypes";
/// Metadata: the SHA-256 of the model that saw them.
const MODEL: &str = "model_sha256";

/// Make the public identities that protected faces are given
///
/// One identity a person: the direction of the mean of what the model sees in that person's
/// photos. `faceshield protect --prototypes FILE` draws new identities among them; faces
/// look more natural with them than with random directions.
///
/// Take synthetic people, or people who agreed to lend their face: it is theirs that strangers
/// will wear. Never those whose photos are to be protected; that would void the guarantee.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    faceshield prototypes --data datasets/synthetic --checkpoint checkpoints_IRC \
    --out prototypes.safetensors\n  \
    faceshield protect holiday/ --out protected --prototypes prototypes.safetensors --epsilon 5")]
pub(crate) struct Args {
    /// Folder that holds one folder per person, faces aligned as for training
    #[arg(long, value_name = "ROOT")]
    data: PathBuf,

    /// The trained model: a stage II checkpoint, or a folder that holds some
    #[arg(long, value_name = "DIR", default_value = "checkpoints_IRC")]
    checkpoint: PathBuf,

    /// Where the identities go
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,

    /// Faces that the model sees at a time
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,

    /// cpu, cuda, cuda:N or auto
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,

    #[command(flatten)]
    links: LinkArgs,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.out.extension().is_none_or(|ending| ending != "safetensors") {
        return Err(misuse(format!("--out {}: end it in .safetensors", args.out.escaped())));
    }
    let index = Index::build(args.links.root(&args.data), None)?;
    tell_links(index.links());
    let people = index.people();
    if people.len() < 2 {
        let (root, n) = (args.data.escaped(), people.len());
        return Err(misuse(format!("{root}: {n} people; give a folder with two people or more")));
    }
    let model = Model::load(&args.checkpoint, device(&args.device)?)?;
    let bar = bar("people");
    bar.set_length(people.len() as u64);
    let mut means = Vec::with_capacity(people.len());
    for person in people {
        let images: Vec<usize> = person.images.clone().collect();
        let mut sum: Option<Tensor> = None;
        for images in images.chunks(args.batch as usize) {
            let crops = images
                .iter()
                .map(|&image| {
                    let path = index.path(image).context("an image that is not in the index")?;
                    Ok(faces::read_image(&path, model.side)?)
                })
                .collect::<anyhow::Result<Vec<_>>>()?;
            let crops: Vec<&faces::RgbImage> = crops.iter().collect();
            // The noise stands for nothing here: any will do, and the same gives the same file.
            let seeds = images.iter().map(|&image| image as u64).collect();
            let seen = model.protector.see(&model.tensor(&crops)?, seeds)?.identity;
            let seen = seen.f_to_kind(Kind::Double)?.f_sum_dim_intlist(0, false, None)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&seen)?,
                None => seen,
            });
        }
        let sum = sum.with_context(|| format!("{} has no photos", person.name))?;
        means.push(sum.f_div(&sum.f_norm()?)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let prototypes = Tensor::f_stack(&means, 0)?.f_to_kind(Kind::Float)?;
    // What cannot be drawn from is not written.
    Prototypes::new(&rows(&prototypes)?)?;
    let tensors = BTreeMap::from([(NAME.to_owned(), prototypes)]);
    let metadata = BTreeMap::from([(MODEL.to_owned(), model.stamp)]);
    weights::write_safetensors_private(&args.out, &tensors, &metadata)?;
    if args.json {
        let (out, images) = (output::path_text(&args.out), index.images().len());
        return output::json(
            &serde_json::json!({ "out": out, "people": people.len(), "images": images }),
        );
    }
    Ok(output::line(format_args!("{}: {} identities", args.out.escaped(), people.len()))?)
}

/// The identities in a file, for `model`, and which they are, whatever the file is called.
///
/// # Errors
///
/// No such file, another file, or identities that another model saw.
pub(crate) fn read(path: &Path, model: &Model) -> anyhow::Result<(Prototypes, String)> {
    let archive = weights::read(path)?;
    let at = path.escaped();
    let made = "make it with `faceshield prototypes`";
    let table = archive.tensors.get(NAME).with_context(|| format!("{at} has no {NAME}: {made}"))?;
    match archive.metadata.get(MODEL) {
        Some(sum) if *sum == model.stamp => {}
        _ => anyhow::bail!(
            "{at} was made with another model than {}: {made} --checkpoint {}",
            model.found.escaped(),
            model.found.escaped()
        ),
    }
    if table.size().len() != 2 || table.size()[1] != model.dims as i64 {
        anyhow::bail!("{at}: {NAME} is {:?}, not [people, {}]: {made}", table.size(), model.dims);
    }
    let prototypes = Prototypes::new(&rows(table)?).with_context(|| at.to_string())?;
    let sum = rows(table)?.concat().iter().fold(0u64, |sum, x| train::mix(sum, x.to_bits().into()));
    Ok((prototypes, format!("{sum:016x}")))
}
