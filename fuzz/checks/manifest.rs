//! The manifest of a checkpoint: as it comes, and with the right checksum, behind which the
//! fuzzer would never get.

use train::checkpoint::Manifest;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(problem) = Manifest::parse(text) {
        assert!(!problem.contains('\n'), "not one line: {problem}");
    }
    let Ok(manifest) = serde_json::from_str::<Manifest>(text) else { return };
    let Ok(signed) = manifest.text() else { return };
    match Manifest::parse(&signed) {
        Err(problem) => {
            assert!(problem.contains("outside") || problem.contains("format"), "{problem}");
        }
        Ok(read) => {
            assert!(!read.files.keys().any(|name| name.contains('/')));
            // Numbers of the configuration may come back a last bit off.
            let (configuration, checksum) = (manifest.configuration.clone(), read.checksum.clone());
            assert_eq!(Manifest { configuration, ..read }, Manifest { checksum, ..manifest });
        }
    }
}
