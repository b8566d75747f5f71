use super::*;

#[test]
fn the_answer_is_read() {
    assert_eq!(read("50 132\n"), Some(Size { rows: 50, columns: 132 }));
    assert_eq!((read("0 0\n"), read(""), read("stty: no")), (None, None, None));
}
