//! What an attacker with samples can prove: no more than is claimed of the mechanisms with a
//! proof, far more of the heuristic.
#![allow(clippy::unwrap_used)]

mod support;

use dpp::{Angular, Generator, Guarantee, Mechanism, PerRadian, Prototypes, PureEpsilon};
use dpp::{Cap, Codebook, Independent, Purkayastha, Subspace, Vmf};
use rand::SeedableRng;
use statrs::function::gamma::ln_gamma;
use support::{BETA, dot, towards};

/// What an attacker looks at: w·v and w·v'.
type Output = [f64; 2];

/// Statistics of an output: how near it is to either identity, and how much nearer to the one
/// than to the other, in direction or along the line through the centre. The last is where the
/// heuristic's density has no bound.
const STATISTICS: [fn(&Output) -> f64; 4] =
    [|w| w[0], |w| w[1], |w| w[0] - w[1], |w| w[0].abs() - w[1].abs()];

/// A set of outputs: those whose statistic is at least, or at most, a threshold.
#[derive(Clone, Copy, Debug)]
struct Event {
    statistic: fn(&Output) -> f64,
    at_least: bool,
    threshold: f64,
}

impl Event {
    fn holds(&self, output: &Output) -> bool {
        let value = (self.statistic)(output);
        if self.at_least { value >= self.threshold } else { value <= self.threshold }
    }

    fn count(&self, outputs: &[Output]) -> usize {
        outputs.iter().filter(|output| self.holds(output)).count()
    }
}

/// Lower bound, wrong with probability `BETA` at most, on the ε between `v` and `other`: an
/// event is chosen on one half of `n` draws around each, and its probabilities are bounded on
/// the other half (Clopper–Pearson).
fn audit(mechanism: &dyn Mechanism, v: &[f32], other: &[f32], n: usize, seed: u64) -> f64 {
    let mut rng = Generator::seed_from_u64(seed);
    let mut draw = |around: &[f32]| -> Vec<Output> {
        let mut output = || {
            let w = mechanism.perturb(around, &mut rng).unwrap();
            [dot(&w, v), dot(&w, other)]
        };
        (0..n).map(|_| output()).collect()
    };
    let samples = [draw(v), draw(other)];
    let half = n / 2;
    let counts = |event: &Event, from: usize| {
        [0, 1].map(|around| event.count(&samples[around][from..from + half]))
    };
    // Six standard errors off, about what the bound below will cost: only the choice rests on it.
    let promise = |[likely, unlikely]: [usize; 2]| {
        let [likely, unlikely] = [likely as f64, unlikely as f64];
        (likely - 6.0 * likely.sqrt()).max(0.0).ln()
            - (unlikely + 6.0 * unlikely.sqrt() + 20.0).ln()
    };
    let best = candidates([&samples[0][..half], &samples[1][..half]])
        .into_iter()
        .flat_map(|event| {
            let [a, b] = counts(&event, 0);
            [(promise([a, b]), event, false), (promise([b, a]), event, true)]
        })
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let (_, event, swapped) = best.unwrap();
    let [a, b] = counts(&event, half);
    let (likely, unlikely) = if swapped { (b, a) } else { (a, b) };
    (lower(likely, half) / (1.0 - lower(half - unlikely, half))).ln()
}

/// Thresholds at 32 quantiles of each statistic under either identity, both ways.
fn candidates(train: [&[Output]; 2]) -> Vec<Event> {
    let mut events = Vec::new();
    for statistic in STATISTICS {
        for outputs in train {
            let mut values: Vec<f64> = outputs.iter().map(statistic).collect();
            values.sort_by(f64::total_cmp);
            for k in 0..32 {
                let threshold = values[(values.len() - 1) * k / 31];
                events.extend([true, false].map(|at_least| Event {
                    statistic,
                    at_least,
                    threshold,
                }));
            }
        }
    }
    events
}

/// The Clopper–Pearson lower bound on a probability after `hits` in `n`: wrong with probability
/// `BETA`/2, as two of them are used together.
fn lower(hits: usize, n: usize) -> f64 {
    let (mut low, mut high) = (0.0, hits as f64 / n as f64);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if upper_tail(hits, n, middle) < BETA / 2.0 { low = middle } else { high = middle }
    }
    low
}

/// Probability of `hits` or more in `n`, for 0 < p ≤ hits/n: its terms fall from the first on.
/// (The incomplete beta function of statrs stops short of its digits for as large an n.)
fn upper_tail(hits: usize, n: usize, p: f64) -> f64 {
    let (k, n) = (hits as f64, n as f64);
    let choose = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    let mut term = (choose + k * p.ln() + (n - k) * (-p).ln_1p()).exp();
    let (mut sum, mut hits) = (term, k);
    while hits < n && term > sum * 1e-17 {
        term *= (n - hits) / (hits + 1.0) * p / (1.0 - p);
        hits += 1.0;
        sum += term;
    }
    sum
}

#[test]
fn clopper_pearson_bounds_are_the_known_ones() {
    // All of n: p^n = β/2. One of n: 1 − (1 − p)^n = β/2.
    assert!((lower(20, 20) - (BETA / 2.0).powf(1.0 / 20.0)).abs() < 1e-12);
    assert!((lower(1, 50) / (BETA / 2.0 / 50.0) - 1.0).abs() < 1e-6);
    assert_eq!(lower(0, 50), 0.0);
}

/// Opposite identities, the pair that pure mechanisms tell apart best; two close ones; and two
/// of different people.
fn pairs(dims: usize) -> [(Vec<f32>, Vec<f32>); 3] {
    let random = Prototypes::random(2, dims, 31).unwrap();
    let v = random.get(0).to_vec();
    let opposite = v.iter().map(|x| -x).collect();
    let near = towards(&v, random.get(1), 0.7).unwrap();
    [(v.clone(), opposite), (v.clone(), near), (v, random.get(1).to_vec())]
}

fn pure(epsilon: f64) -> PureEpsilon {
    PureEpsilon::new(epsilon).unwrap()
}

/// 48 audits: a false alarm in any at most 4.8e-8.
#[test]
fn proven_mechanisms_pass() {
    for (dims, n) in [(3, 100_000), (512, 10_000)] {
        for (v, other) in pairs(dims) {
            let prototypes = Prototypes::new(&[v.clone(), other.clone(), vec![1.0; dims]]).unwrap();
            let basis: Vec<Vec<f32>> =
                (0..3).map(|k| (0..dims).map(|x| f32::from(u8::from(x == k))).collect()).collect();
            let subspace = Subspace::new(Cap::new(3, pure(1.0)).unwrap(), &basis, &vec![0.0; dims]);
            let mechanisms: [Box<dyn Mechanism>; 8] = [
                Box::new(Codebook::new(prototypes, pure(1.0))),
                Box::new(Cap::new(dims, pure(1.0)).unwrap()),
                Box::new(Purkayastha::pure(dims, pure(1.0)).unwrap()),
                Box::new(Vmf::pure(dims, pure(1.0)).unwrap()),
                Box::new(Independent::uniform(dims).unwrap()),
                Box::new(Purkayastha::metric(dims, PerRadian::new(1.0).unwrap()).unwrap()),
                Box::new(Vmf::metric(dims, dpp::PerChord::new(1.0).unwrap()).unwrap()),
                Box::new(subspace.unwrap()),
            ];
            let angle = dot(&v, &other).clamp(-1.0, 1.0).acos();
            for (k, mechanism) in mechanisms.iter().enumerate() {
                let claimed = mechanism.guarantee().log_ratio(angle).unwrap();
                let found = audit(mechanism, &v, &other, n, 200 + k as u64);
                assert!(found <= claimed, "{}: {found} of {claimed}", mechanism.name());
            }
        }
    }
}

/// The positive control: "ε = 1", and an attacker can prove more than 6.
#[test]
fn the_heuristic_fails() {
    let angular = Angular::new(1.0).unwrap();
    let [_, _, (v, other)] = pairs(512);
    let found = audit(&angular, &v, &other, 60_000, 301);
    assert!(found > 6.0, "{found}");
    assert_eq!(angular.guarantee(), Guarantee::Heuristic { noise_scale: 1.0 });
}

/// privacy.md: with "ε" close to 0, who chooses between two people is right 98 times in 100. The
/// density grows with |cos θ|, and all angles are alike: 1 − E arctan|g| 2/π = .9775, g a uniform
/// direction's coordinate. Within .0104 of it: 1e-9 (Hoeffding).
#[test]
fn two_people_are_told_apart() {
    let mut rng = Generator::seed_from_u64(302);
    let [_, _, (v, other)] = pairs(512);
    let (angular, n) = (Angular::new(1e-3).unwrap(), 100_000);
    let right = |_: &u32| {
        let w = angular.perturb(&v, &mut rng).unwrap();
        dot(&w, &v).abs() > dot(&w, &other).abs()
    };
    let share = (0..n).filter(right).count() as f64 / f64::from(n);
    assert!((share - 0.9775).abs() < 0.0104, "{share}");
}

/// The audit sees budgets that are larger than the label's "ε = 1": a fifth where two sets of
/// outputs tell all, more where the density is steep in one point only.
#[test]
fn a_wrong_label_is_found_out() {
    let [(v, other), ..] = pairs(3);
    let prototypes = Prototypes::new(&[v.clone(), other.clone(), vec![0.0, 0.0, 1.0]]).unwrap();
    let mechanisms: [Box<dyn Mechanism>; 4] = [
        Box::new(Codebook::new(prototypes, pure(1.2))),
        Box::new(Cap::new(3, pure(1.2)).unwrap()),
        Box::new(Purkayastha::pure(3, pure(2.0)).unwrap()),
        Box::new(Vmf::pure(3, pure(2.0)).unwrap()),
    ];
    for mechanism in mechanisms {
        let found = audit(&mechanism, &v, &other, 100_000, 401);
        assert!(found > 1.0, "{}: {found}", mechanism.name());
    }
}
