//! Which people a recogniser learns from, and which are held out to try it on.

use crate::random::{Use, mix, permutation};
use crate::{Error, Index};

/// The people of an index in two parts: places in [`Index::people`], ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Those to learn from.
    pub training: Vec<usize>,
    /// Those held out; each has two images or more.
    pub held_out: Vec<usize>,
}

impl Split {
    /// Holds people out at random: a pure function of the index and `seed`. Only people with
    /// two images or more can be: verification compares images of one person.
    ///
    /// # Arguments
    /// * `wanted` - below 1 a share of all people (of those with two images or more, the
    ///   rounded number, and no fewer than 2), from 1 on their number; 0 holds nobody out.
    ///
    /// # Errors
    /// [`Error::HeldOut`] when fewer than two would be left to learn from, or fewer than two
    /// (or than `wanted`) people have two images; [`Error::Option`] when `wanted` is no number
    /// of people.
    pub fn new(index: &Index, wanted: f64, seed: u64) -> Result<Split, Error> {
        let people = index.people();
        if !(wanted.is_finite() && wanted >= 0.0 && (wanted < 1.0 || wanted.fract() == 0.0)) {
            return Err(Error::Option {
                key: "validation_people",
                value: wanted.to_string(),
                expected: "a share below 1, a whole number of people, or 0 for none".into(),
            });
        }
        let several: Vec<usize> =
            (0..people.len()).filter(|&person| people[person].images.len() >= 2).collect();
        let count = match wanted {
            0.0 => 0,
            share if share < 1.0 => ((share * several.len() as f64).round() as usize).max(2),
            count => count as usize,
        };
        let refused = |problem: String| Err(Error::HeldOut { root: index.root().into(), problem });
        if count == 1 {
            return refused("one person alone cannot be told from others".into());
        }
        if count > several.len() {
            return refused(format!("only {} people have two images or more", several.len()));
        }
        if people.len() < count + 2 {
            return refused(format!(
                "of its {} people fewer than two would be left to learn from",
                people.len()
            ));
        }
        let order = permutation(mix(Use::HoldOut, &[seed]), several.len() as u32);
        let mut held_out: Vec<usize> =
            order[..count].iter().map(|&place| several[place as usize]).collect();
        held_out.sort_unstable();
        let training =
            (0..people.len()).filter(|person| held_out.binary_search(person).is_err()).collect();
        Ok(Split { training, held_out })
    }
}
