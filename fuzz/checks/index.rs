//! The cache file of a data set's index. What is accepted must be usable.

use faces::Index;

pub(crate) fn check(bytes: &[u8]) {
    let index = match Index::from_cache(bytes) {
        Ok(None) => return,
        Ok(Some(index)) => index,
        Err(problem) => return assert!(!problem.contains('\n'), "not one line: {problem}"),
    };
    assert!(index.people().len() > 1 && index.not_square() <= index.images().len());
    let mut next = 0;
    for (number, person) in index.people().iter().enumerate() {
        assert!(person.images.start == next && !person.images.is_empty());
        next = person.images.end;
        assert!(index.images()[person.images.clone()].iter().all(|image| image.person == number));
    }
    assert_eq!(next, index.images().len());
    assert!(index.path(next - 1).is_some() && index.path(next).is_none());
    index.digest();
}
