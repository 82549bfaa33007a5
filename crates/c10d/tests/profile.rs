//! The profiler, which sees every thread of its process and so has one to itself.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use c10d::torch::{Profile, range};
use tch::{Device, Kind, Tensor};

#[test]
fn a_profile_is_a_trace_of_all_threads_with_the_named_ranges() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("trace.json");
    drop(Profile::start().unwrap());
    let profile = Profile::start().unwrap();
    assert!(Profile::start().is_err(), "one is being taken");
    let work = || Tensor::ones([4], (Kind::Float, Device::Cpu)).cosh();
    {
        let _range = range(c"a name of ours");
        let _result = work();
    }
    std::thread::spawn(move || {
        let _range = range(c"another thread");
        let _result = work();
    })
    .join()
    .unwrap();
    profile.save(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    for name in ["aten::cosh", "a name of ours", "another thread"] {
        assert!(text.contains(name), "{name}");
    }
    assert_eq!(text.matches("\"aten::cosh\"").count(), 2);

    let profile = Profile::start().unwrap();
    assert!(profile.save(&folder.join("no/such/folder/trace.json")).is_err());
}
