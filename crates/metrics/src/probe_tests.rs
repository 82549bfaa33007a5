use super::*;
use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

fn normals(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Two attributes are linear in the features, one is noise: R² near 1, near 1 and about 0. 300
/// test rows: the noise's R² has a deviation of about 0.02 around a mean a little below 0; a
/// false alarm has a probability below 1e-6, with fewer and with more features than rows.
#[test]
fn linear_attributes_are_read_and_noise_is_not() {
    for (n, d, at_least) in [(400, 20, 0.999), (300, 900, 0.2)] {
        let (train, test) = (normals(n * d, 1), normals(300 * d, 2));
        let noise = normals(n + 300, 3);
        let values = |table: &[f32], noise: &[f32]| -> Vec<f64> {
            let rows = table.chunks(d).zip(noise);
            rows.flat_map(|(x, &e)| [x[0] - 2.0 * x[1] + 3.0, 10.0 * x[2], e].map(f64::from))
                .collect()
        };
        let (of_train, of_test) = (values(&train, &noise), values(&test, &noise[n..]));
        let (train, test) = (Rows::new(&train, d).unwrap(), Rows::new(&test, d).unwrap());
        let found = attribute_probe(train, &of_train, test, &of_test).unwrap();
        let r2: Vec<f64> = found.r2.iter().map(|r2| r2.unwrap()).collect();
        assert!(r2[0] > at_least && r2[1] > at_least, "{r2:?}");
        assert!(r2[2].abs() < 0.35 && r2[2] < 0.1, "{r2:?}");
    }
}

#[test]
fn r2_as_defined() {
    let values = [1.0, 5.0, 2.0, 5.0, 6.0, 5.0];
    // Columns 1 2 6 and 5 5 5; the mean of the first is 3.
    assert_eq!(r_squared(&values, &values, 2, |_| 1.0), [Some(1.0), None]);
    let mean = [3.0, 0.0, 3.0, 0.0, 3.0, 0.0];
    assert_eq!(r_squared(&mean, &values, 2, |_| 1.0)[0], Some(0.0));
    // A weight is as good as a repetition.
    let (found, truth) = ([1.0, 2.5, 4.0], [1.0, 2.0, 6.0]);
    let weighted = r_squared(&found, &truth, 1, |row| [2.0, 1.0, 0.0][row]);
    let repeated = r_squared(&[1.0, 1.0, 2.5], &[1.0, 1.0, 2.0], 1, |_| 1.0);
    assert!((weighted[0].unwrap() - repeated[0].unwrap()).abs() < 1e-12);
    assert_eq!(r_squared(&found, &truth, 1, |_| 0.0), [None]);
    assert!(r_squared(&[], &[], 0, |_| 1.0).is_empty());
    assert_eq!(r_squared(&[0.1; 3], &[0.1; 3], 1, |_| 1.0), [None]);
}

/// 20 people with 10 photos: read without error from features that hold them, and by chance
/// (1/20 of 100) from noise: 16 of 100 or more would happen with probability 4e-5.
#[test]
fn identity_is_read_where_it_is() {
    let people: Vec<usize> = (0..200).map(|k| 100 + k / 10).collect();
    // With fewer features than people, regression to columns masks some: 8 reach 95 %.
    for d in [32, 300] {
        let (centres, noise) = (normals(20 * d, 4), normals(200 * d, 5));
        let with: Vec<f32> =
            (0..200 * d).map(|k| 3.0 * centres[k / d / 10 * d + k % d] + 0.3 * noise[k]).collect();
        let found = identity_probe(Rows::new(&with, d).unwrap(), &people).unwrap();
        assert!(found.accuracy() > 0.95, "{}", found.accuracy());
        assert_eq!((found.hits.len(), found.chance), (100, 0.05));
        assert_eq!(found.people[5], 101);
        let blind = identity_probe(Rows::new(&noise, d).unwrap(), &people).unwrap();
        assert!(blind.accuracy() < 0.16, "{}", blind.accuracy());
        assert_eq!(blind, identity_probe(Rows::new(&noise, d).unwrap(), &people).unwrap());
    }
}

#[test]
fn probes_without_people_or_values_are_refused() {
    let data = normals(16, 6);
    let rows = Rows::new(&data, 2).unwrap();
    let error = |people: &[usize]| identity_probe(rows, people).unwrap_err().to_string();
    assert!(error(&[1; 8]).starts_with("1 people are too few"));
    assert!(error(&[0, 1, 2, 3, 4, 5, 6, 7]).starts_with("0 second photos of a person"));
    assert!(error(&[0, 1]).starts_with("2 people's labels do not fit"));
    assert!(attribute_probe(rows, &[0.0; 8], rows, &[0.0; 7]).is_err());
    assert!(attribute_probe(rows, &[], rows, &[]).is_err());
    assert!(attribute_probe(rows, &[0.0; 8], rows, &[f64::NAN; 8]).is_err());
    // Attributes that never vary are no error.
    let constant = attribute_probe(rows, &[2.0; 8], rows, &[2.0; 8]).unwrap();
    assert_eq!(constant.r2, [None]);
}
