use super::*;
use crate::{Bootstrap, Rows};

fn plane(degrees: &[f32], people: &[usize]) -> Embeddings {
    let point = |a: &f32| [a.to_radians().cos(), a.to_radians().sin()];
    let data: Vec<f32> = degrees.iter().flat_map(point).collect();
    Embeddings::new(Rows::new(&data, 2).unwrap(), people).unwrap()
}

const BOTH: [Enrolment; 2] = [Enrolment::Photos, Enrolment::Means];

#[test]
fn originals_find_themselves_unless_excluded() {
    // Person 1 spans 0 to 40 degrees; person 2 lies at 50 and 60.
    let set = plane(&[0.0, 40.0, 50.0, 60.0], &[1, 1, 2, 2]);
    let rate =
        |enrolment, exclude| Identification::new(&set, &set, enrolment, exclude).unwrap().rate(1);
    assert_eq!(rate(Enrolment::Photos, false), 1.0);
    // By means: 20 and 55 degrees; 40 is closer to 55.
    assert_eq!(rate(Enrolment::Means, false), 0.75);
    let alone = Identification::new(&set, &set, Enrolment::Means, true).unwrap();
    // Means without itself: 0 against 40 and 55; 40 against 0 and 55; 50 against 60 and 20;
    // 60 against 50 and 20.
    assert_eq!(alone.cmc(5), [0.75, 1.0]);
    assert_eq!((alone.enrolled(), alone.left_out()), (2, 0));
}

#[test]
fn ties_are_shared_out() {
    // Everybody looks alike: rank k is k of 4.
    let same = plane(&[10.0; 12], &[1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
    for enrolment in BOTH {
        for exclude in [false, true] {
            let found = Identification::new(&same, &same, enrolment, exclude).unwrap();
            assert_eq!(found.cmc(9), [0.25, 0.5, 0.75, 1.0]);
        }
    }
    let standing = Standing { probe: 0, person: 0, better: 2, tied: 1 };
    assert_eq!([1, 2, 3, 4, 9].map(|k| standing.within(k)), [0.0, 0.0, 0.5, 1.0, 1.0]);
}

#[test]
fn probes_without_a_mate_are_counted() {
    let gallery = plane(&[0.0, 90.0, 95.0], &[1, 2, 2]);
    let probes = plane(&[0.0, 90.0, 95.0, 50.0], &[1, 2, 2, 7]);
    let found = Identification::new(&probes, &gallery, Enrolment::Photos, true).unwrap();
    // Person 1's only photo is the probe's own; person 7 is not enrolled.
    assert_eq!((found.left_out(), found.standings().len(), found.rate(1)), (2, 2, 1.0));
    let (hits, people) = found.hits(1);
    assert_eq!((hits, people), (vec![1.0, 1.0], vec![2, 2]));
    let stranger = plane(&[0.0], &[9]);
    for enrolment in BOTH {
        let error = Identification::new(&stranger, &gallery, enrolment, false).unwrap_err();
        assert!(error.to_string().starts_with("0 probes of people with a photo"));
    }
    let one = plane(&[0.0], &[1]);
    assert!(Identification::new(&probes, &one, Enrolment::Photos, false).is_err());
}

#[test]
fn protection_holds_below_the_threshold() {
    let originals = plane(&[0.0, 20.0, 90.0, 100.0], &[1, 1, 2, 2]);
    let painted = plane(&[60.0, 25.0, 180.0, 30.0], &[1, 1, 2, 2]);
    let threshold = 30f32.to_radians().cos();
    let held = |against| protected(&painted, &originals, against, threshold).unwrap().0;
    assert_eq!(held(Genuine::OwnPhoto), [1.0, 0.0, 1.0, 1.0]);
    assert_eq!(held(Genuine::OtherPhotos), [1.0, 0.0, 1.0, 1.0]);
    let (values, people) = protected(&painted, &originals, Genuine::AllPhotos, threshold).unwrap();
    let rate = Bootstrap::default().mean(&values, &people).unwrap();
    assert_eq!((rate.value, rate.low, rate.high), (0.75, 0.5, 1.0));
    // Exactly at the threshold is accepted.
    let own = originals.cosine(0, &originals, 0);
    assert_eq!(protected(&originals, &originals, Genuine::OwnPhoto, own).unwrap().0[0], 0.0);
    let error = protected(&painted, &originals, Genuine::OwnPhoto, f32::INFINITY).unwrap_err();
    assert!(error.to_string().contains("too few impostor pairs"));
    // Means are nobody's photo.
    let means = originals.means().unwrap();
    assert_eq!(protected(&painted, &means, Genuine::OtherPhotos, 0.9).unwrap().0.len(), 4);
    assert!(protected(&painted, &means, Genuine::OwnPhoto, 0.9).is_err());
}
