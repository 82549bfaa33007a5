//! What each kind of case computes.
use anyhow::{Context, Result, bail};
use encoder::{Fidelity, FrozenEncoder, LayerStats, ModelConfig, Stats, normalize};
use fse::{Estimator, Extractor, FseWeights, Noise, Objective, PerceptualNoise, halves};
use irc::{IidDiscriminator, Mode, PatchDiscriminator, Reconstructor};
use tch::{Kind, Tensor, nn};
use weights::Tensors;

use super::case::Case;
use super::fill::Fill;

/// Computes everything the case may expect.
pub(super) fn compute(case: &Case) -> Result<Tensors> {
    match case.op.as_str() {
        "hsic" => independence(case, |z, x| fse::hsic_loss(z, x, Estimator::Published)),
        "angle" => independence(case, |z, x| fse::angle_loss(z, x, Fidelity::Published)),
        "encoder" => encoder(case),
        "separation" => separation(case),
        "stage1_step" => stage1(case),
        "reconstructor" => reconstructor(case),
        "discriminators" => discriminators(case),
        "perturb_angular" => perturb(case),
        other => bail!("this program knows no operation `{other}`"),
    }
}

fn model() -> ModelConfig {
    ModelConfig { fidelity: Fidelity::Published, ..ModelConfig::default() }
}

fn images(fill: Fill) -> Tensor {
    fill.input("images", &[2, 3, 512, 512])
}

fn known_encoder(fill: Fill) -> FrozenEncoder {
    let encoder = FrozenEncoder::random(&model(), 0, fill.device);
    fill.weights("encoder.", &encoder.state());
    encoder
}

/// A loss of one layer and both gradients.
fn independence(case: &Case, loss: impl Fn(&Tensor, &Tensor) -> Tensor) -> Result<Tensors> {
    let (z, x) = if case.has_input("z") {
        (case.input("z")?, case.input("x")?)
    } else {
        let shape = [1, 32, 32, 32];
        let z = case.fill.input("hsicl.z", &shape);
        let x = &z * 0.5 + case.fill.input("hsicl.x", &shape) * 0.5;
        (z, x)
    };
    let (z, x) = (z.detach().set_requires_grad(true), x.detach().set_requires_grad(true));
    let value = loss(&z, &x).mean(Kind::Float);
    value.backward();
    Ok(named([("loss", value), ("grad_z", z.grad()), ("grad_x", x.grad())]))
}

fn encoder(case: &Case) -> Result<Tensors> {
    let _guard = tch::no_grad_guard();
    let encoder = known_encoder(case.fill);
    let features = encoder.features(&images(case.fill), 24);
    let mut out = Tensors::new();
    for i in [0, 1, 5, 9] {
        out.insert(format!("from_feature{i}"), encoder.from_feature(&(&features[i] * 0.5), i));
    }
    out.insert("identity".into(), encoder.from_feature(&features[0], 0));
    for (i, feature) in features.into_iter().enumerate() {
        out.insert(format!("feature{i}"), feature);
    }
    Ok(out)
}

/// Encoder and separation layers with known weights, and the features of the
/// two images: feature means of the batch as the data set's, known deviations.
fn known_extractor(fill: Fill) -> (Extractor, Vec<Tensor>) {
    let _guard = tch::no_grad_guard();
    let encoder = known_encoder(fill);
    let features = encoder.features(&images(fill), encoder::READOUT_LAYERS - 1);
    let layers = features.iter().enumerate().map(|(i, feature)| {
        let shape = &feature.size()[1..];
        LayerStats::from_parts(
            feature.mean_dim(&[0i64][..], false, None),
            &(fill.between(&format!("stat.std{i}"), shape, 0.0, 1.0) + 0.1),
            &fill.between(&format!("stat.act{i}"), shape, 0.0, 1.0).gt(0.1).to_kind(Kind::Float),
        )
    });
    let stats = Stats { layers: layers.collect() };
    let extractor = Extractor::new(&model(), encoder, &stats, 5.0, 0, fill.device);
    fill.weights("", &extractor.layers());
    (extractor, features)
}

fn separation(case: &Case) -> Result<Tensors> {
    let _guard = tch::no_grad_guard();
    let (extractor, features) = known_extractor(case.fill);
    let separation = extractor.separation();
    let lambdas = separation.lambdas(&features);
    let z = separation.identity_parts(&features, &lambdas, &Noise::Zero)?;
    let mut out = Tensors::new();
    for i in [0, 1, 4, 9] {
        out.insert(format!("z{i}"), z[i].shallow_clone());
        out.insert(format!("lambda{i}"), lambdas[i].shallow_clone());
        // The published code logs the batch's mean.
        let information = separation.information(&features[i], &lambdas[i], i);
        out.insert(format!("info{i}"), information.mean_dim(&[0i64][..], false, None));
    }
    Ok(out)
}

fn stage1(case: &Case) -> Result<Tensors> {
    let (extractor, features) = known_extractor(case.fill);
    let weights = FseWeights::of(Fidelity::Published);
    let objective = Objective::new(&extractor, &features, &Noise::Zero, &weights, &[])?;
    let total = objective.total();
    total.backward();
    let term = |name: &str| {
        objective.term(name).with_context(|| format!("{name} is a term of the published loss"))
    };
    let losses = [
        term("angle_source")? + term("angle_target")?,
        term("hsic_source")? + term("hsic_target")?,
        term("retention")?.shallow_clone(),
        total,
    ];
    let mut out = named([
        ("losses", Tensor::stack(&losses, 0)),
        ("identity_restricted", objective.separated.identity),
    ]);
    for (name, parameter) in extractor.trainable() {
        let name = name.strip_prefix("se.").context("separation layers are named se.*")?;
        out.insert(format!("grad.{name}"), parameter.grad());
    }
    Ok(out)
}

fn reconstructor(case: &Case) -> Result<Tensors> {
    let _guard = tch::no_grad_guard();
    let (extractor, features) = known_extractor(case.fill);
    let target = images(case.fill).narrow(0, 1, 1);
    let (sources, targets) = halves(&features);
    let separation = extractor.separation();
    let lambdas = separation.lambdas(&targets);
    let kind = PerceptualNoise::BatchMean(&sources);
    let parts = separation.perceptual_parts(&targets, &lambdas, &Noise::Zero, &kind)?;

    let painter = Reconstructor::new(&model(), 0, case.fill.device);
    case.fill.weights("", &painter.state());
    let identity = normalize(&case.fill.input("irc.id", &[1, 512]));
    let mut attributes = painter.decoder().attributes(&target, &parts, &Mode::Eval)?;
    let mut maps = painter.decoder().lambda_maps(&lambdas, &Mode::Eval)?;
    let image = painter.generator().forward(&identity, &attributes, &maps, 0)?;
    let mut out = named([("image", image)]);
    // As the generator's last block sees them.
    for coarse_to_fine in [&mut attributes, &mut maps] {
        coarse_to_fine.extend(coarse_to_fine.last().map(irc::double));
    }
    for (i, (attribute, map)) in attributes.into_iter().zip(maps).enumerate() {
        out.insert(format!("attr{i}"), attribute);
        out.insert(format!("lambda{i}"), map);
    }
    Ok(out)
}

fn discriminators(case: &Case) -> Result<Tensors> {
    let _guard = tch::no_grad_guard();
    let store = nn::VarStore::new(case.fill.device);
    let root = store.root();
    let patch = PatchDiscriminator::new(&(&root / "discriminator"), &model());
    let iid = IidDiscriminator::new(&(&root / "iid_discriminator"), &model());
    case.fill.weights("", &store.variables().into_iter().collect());
    let images = images(case.fill);
    let mut out = named([("iid_embedding", iid.forward(&images, &Mode::Eval)?)]);
    for (i, scores) in patch.forward(&images, &Mode::Eval)?.into_iter().enumerate() {
        out.insert(format!("scale{i}"), scores);
    }
    Ok(out)
}

fn perturb(case: &Case) -> Result<Tensors> {
    let row = |name: &str| -> Result<Vec<f64>> {
        let tensor = case.input(name)?.to_kind(Kind::Double).flatten(0, -1);
        Ok(Vec::try_from(tensor)?)
    };
    let v: Vec<f32> = row("v")?.into_iter().map(|x| x as f32).collect();
    let gaussian = row("z")?;
    let rows = case.rows.iter().map(|&[epsilon, u, theta]| {
        let mechanism = dpp::Angular::new(epsilon)?;
        let angle = mechanism.angle(u);
        if (angle - theta).abs() > 1e-9 {
            bail!("ε = {epsilon}, U = {u}: θ = {angle} where {theta} is expected");
        }
        Ok(Tensor::from_slice(&mechanism.rotate(&v, &gaussian, angle)?))
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    Ok(named([("perturbed", Tensor::stack(&rows, 0))]))
}

fn named<const N: usize>(tensors: [(&str, Tensor); N]) -> Tensors {
    tensors.into_iter().map(|(name, tensor)| (name.to_string(), tensor)).collect()
}
