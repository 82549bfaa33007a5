//! Named factors: a structure of `f32` fields that can also be read as a list.

/// Declares a structure of named factors, each with its range, drawn uniformly.
macro_rules! factors {
    (
        $(#[$outer:meta])*
        $name:ident {
            $( $(#[$inner:meta])* $field:ident: $low:literal to $high:literal, )*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $( $(#[$inner])* pub $field: f32, )*
        }

        impl $name {
            /// The factors' names, in order.
            pub const NAMES: &[&str] = &[$( stringify!($field) ),*];

            /// The range each factor is drawn from, in order.
            pub const RANGES: &[(f32, f32)] = &[$( ($low, $high) ),*];

            /// The factors' values, in the order of [`Self::NAMES`].
            pub fn values(&self) -> Vec<f32> {
                vec![$( self.$field ),*]
            }

            /// The factor of that name, to be changed.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut f32> {
                match name {
                    $( stringify!($field) => Some(&mut self.$field), )*
                    _ => None,
                }
            }

            fn uniform(stream: &mut crate::random::Stream) -> Self {
                Self { $( $field: stream.uniform($low, $high) ),* }
            }

            /// Every factor in the middle of its range.
            pub fn middle() -> Self {
                Self { $( $field: ($low + $high) / 2.0 ),* }
            }
        }
    };
}

pub(crate) use factors;
