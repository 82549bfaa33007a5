use super::*;

fn quality(found: &[f64], truth: &[f64]) -> f64 {
    -found.iter().zip(truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
}

fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// One feature: w = Σxy / (Σx² + λ), x standardised.
#[test]
fn one_feature_in_closed_form() {
    let (x, y) = ([0.0f32, 1.0, 2.0, 4.0, 8.0], [1.0, 0.0, 3.0, 2.0, 9.0]);
    let found =
        Ridge::fit(Rows::new(&x, 1).unwrap(), &y, Rows::new(&[3.0, 5.0], 1).unwrap(), quality)
            .unwrap();
    let deviation = 10f64.sqrt() + 1e-6;
    let standard = |x: f64| (x - 3.0) / deviation;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (&x, &y) in x.iter().zip(&y) {
        let x = standard(f64::from(x));
        (xy, xx) = (xy + x * (y - 3.0), xx + x * x);
    }
    let weight = xy / (xx + found.penalty);
    assert!((found.predictions[0] - 3.0).abs() < 1e-12);
    assert!((found.predictions[1] - 3.0 - weight * standard(5.0)).abs() < 1e-12);
}

/// Rows and features as unknowns: the same predictions and the same penalty.
#[test]
fn the_dual_predicts_as_the_primal_does() {
    let (n, d, m) = (30, 12, 7);
    let (train, test) = (random(n * d, 5), random(m * d, 6));
    let targets: Vec<f64> = random(n * 2, 7).into_iter().map(f64::from).collect();
    // Three copies of each feature: standardised and divided by d, the same inner products.
    let copies = |table: &[f32]| -> Vec<f32> {
        table.chunks(d).flat_map(|row| [row, row, row].concat()).collect()
    };
    let (wide_train, wide_test) = (copies(&train), copies(&test));
    let narrow =
        Ridge::fit(Rows::new(&train, d).unwrap(), &targets, Rows::new(&test, d).unwrap(), quality)
            .unwrap();
    let wide = Ridge::fit(
        Rows::new(&wide_train, 3 * d).unwrap(),
        &targets,
        Rows::new(&wide_test, 3 * d).unwrap(),
        quality,
    )
    .unwrap();
    assert_eq!(narrow.penalty, wide.penalty);
    let difference = minus(&narrow.predictions, &wide.predictions).map(f64::abs);
    assert!(difference.fold(0.0, f64::max) < 1e-10);
}

#[test]
fn a_linear_function_takes_the_smallest_penalty_and_noise_the_largest() {
    let (n, d) = (200, 3);
    let train = random(n * d, 8);
    let linear: Vec<f64> =
        train.chunks(d).map(|x| f64::from(2.0 * x[0] - x[1] + 0.5 * x[2]) + 4.0).collect();
    let rows = Rows::new(&train, d).unwrap();
    let found = Ridge::fit(rows, &linear, rows, quality).unwrap();
    assert_eq!(found.penalty, 1e-3);
    assert!(minus(&found.predictions, &linear).all(|x| x.abs() < 1e-3));
    let wide = random(60 * 400, 9);
    let noise: Vec<f64> = random(60, 10).into_iter().map(f64::from).collect();
    let rows = Rows::new(&wide, 400).unwrap();
    assert_eq!(Ridge::fit(rows, &noise, rows, quality).unwrap().penalty, 10.0);
}

#[test]
fn a_constant_feature_changes_nothing_and_runs_repeat() {
    let train = random(40 * 3, 11);
    let targets: Vec<f64> = random(40, 12).into_iter().map(f64::from).collect();
    let with: Vec<f32> = train.chunks(3).flat_map(|x| [x[0], x[1], x[2], 7e30]).collect();
    let rows = Rows::new(&with, 4).unwrap();
    let found = Ridge::fit(rows, &targets, rows, quality).unwrap();
    let without = Rows::new(&train, 3).unwrap();
    let other = Ridge::fit(without, &targets, without, quality).unwrap();
    // Penalties count per feature, so the numbers differ a little.
    let difference = minus(&found.predictions, &other.predictions).map(f64::abs);
    assert!(difference.fold(0.0, f64::max) < 0.1);
    assert_eq!(found, Ridge::fit(rows, &targets, rows, quality).unwrap());
    let (mut fitted, judged) = split(40);
    assert_eq!((fitted.len(), judged.len()), (30, 10));
    fitted.extend(judged);
    fitted.sort_unstable();
    assert_eq!(fitted, (0..40).collect::<Vec<_>>());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let data = random(20, 13);
    let rows = Rows::new(&data, 4).unwrap();
    let error =
        |targets: &[f64], test| Ridge::fit(rows, targets, test, quality).unwrap_err().to_string();
    assert!(error(&[0.0; 7], rows).starts_with("7 targets do not fit"));
    assert!(error(&[0.0; 3], rows).starts_with("3 targets are too few"));
    assert!(error(&[f64::NAN; 5], rows).starts_with("target 0 is or holds"));
    assert!(error(&[0.0; 5], Rows::new(&data, 5).unwrap()).starts_with("5 features of a test row"));
    let few = Rows::new(&data[..12], 4).unwrap();
    let error = Ridge::fit(few, &[0.0; 3], rows, quality).unwrap_err().to_string();
    assert_eq!(error, "3 training rows are too few: it takes 4 or more");
}
