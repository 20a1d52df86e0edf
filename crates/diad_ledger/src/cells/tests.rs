use diad_core::event::Reason;

use super::*;
use crate::testing;

/// A value of another kind or size than `cell`.
fn other(cell: ValueRef<'_>) -> ValueRef<'static> {
    match cell {
        ValueRef::Null => ValueRef::Integer(0),
        ValueRef::Integer(value) => ValueRef::Integer(value ^ 1),
        ValueRef::Real(value) => ValueRef::Real(f64::from_bits(value.to_bits() ^ 1)),
        ValueRef::Text(_) => ValueRef::Text(b"other"),
        ValueRef::Blob(_) => ValueRef::Blob(&[7; 32]),
    }
}

#[test]
fn checksum_depends_on_every_cell() {
    for row in [testing::row(1), testing::unjudged(2, Reason::Camera), testing::joined_row(3)] {
        let witnesses = witnesses(&row);
        let cells = Cells::of_row(&row, witnesses.as_deref());
        for at in 0..COUNT {
            let mut changed = cells;
            changed.0[at] = other(changed.0[at]);
            assert_ne!(changed.checksum(), cells.checksum(), "cell {at}");
            let fault = changed.row(ValueRef::Integer(cells.checksum().into()), ValueRef::Null).unwrap_err();
            assert!(matches!(fault, RowFault::Checksum { .. }), "{fault:?}");
        }
    }
}

#[test]
fn checksum_tells_texts_apart_that_move_between_cells() {
    let mut row = testing::row(1);
    let sum = |row: &Row| Cells::of_row(row, None).checksum();
    row.part = PartId::try_new("ab").ok();
    row.product = ProductName::try_new("c").ok();
    let first = sum(&row);
    row.part = PartId::try_new("a").ok();
    row.product = ProductName::try_new("bc").ok();
    assert_ne!(sum(&row), first);
}

/// The recipe is part of what is on the disk: a change of it would damage every ledger there is. The numbers come from
/// zlib's CRC-32 over the same bytes, put together in another language.
#[test]
fn checksum_of_a_known_row_never_changes() {
    assert_eq!(Cells::of_row(&testing::row(1), None).checksum(), 0x0b73299e);
    assert_eq!(Cells::of_row(&testing::unjudged(2, Reason::Deadline), None).checksum(), 0x9c214ec6);
}

/// A value that has the right checksum but is none that this version writes comes from another one: never a verdict.
#[test]
fn row_refuses_values_that_contradict_each_other() {
    let judged = testing::row(1);
    let unjudged = testing::unjudged(1, Reason::Camera);
    let at = |column| SERIES.len() + OWN.iter().position(|known| *known == column).unwrap();
    for (row, column, value) in [
        (&judged, "verdict", ValueRef::Text(b"MAYBE")),
        (&judged, "verdict", ValueRef::Text(b"pass")),
        (&judged, "verdict", ValueRef::Null),
        (&judged, "verdict", ValueRef::Text(b"UNJUDGED")),
        (&judged, "reason", ValueRef::Text(b"camera")),
        (&judged, "score", ValueRef::Null),
        (&judged, "score", ValueRef::Real(-1.0)),
        (&judged, "score", ValueRef::Real(f64::INFINITY)),
        (&judged, "score", ValueRef::Real(0.1)),
        (&judged, "review_at", ValueRef::Real(0.5)),
        (&judged, "x_px", ValueRef::Integer(-1)),
        (&judged, "x_px", ValueRef::Integer(1 << 32)),
        (&judged, "product", ValueRef::Text(b"a/b")),
        (&judged, "part", ValueRef::Text(b"")),
        (&judged, "part", ValueRef::Text(b"a\0b")),
        (&judged, "part", ValueRef::Text(b"\xff")),
        (&judged, "captured_us", ValueRef::Integer(-1)),
        (&judged, "latency_ns", ValueRef::Integer(-1)),
        (&judged, "latency_ns", ValueRef::Null),
        (&judged, "map_ns", ValueRef::Integer(-1)),
        (&judged, "repeat", ValueRef::Integer(0)),
        (&judged, "repeat", ValueRef::Text(b"1")),
        (&judged, "bank_ns", ValueRef::Integer(-1)),
        (&judged, "witnesses", ValueRef::Integer(1)),
        (&judged, "witnesses", ValueRef::Text(b"")),
        (&judged, "witnesses", ValueRef::Text(b"diad")),
        (&judged, "witnesses", ValueRef::Text(b"=0.5")),
        (&judged, "witnesses", ValueRef::Text(b"diad=NaN")),
        (&judged, "witnesses", ValueRef::Text(b"diad=-1")),
        (&judged, "witnesses", ValueRef::Text(b"diad=0.5  latent=0.5")),
        (&unjudged, "verdict", ValueRef::Text(b"PASS")),
        (&unjudged, "reason", ValueRef::Text(b"mood")),
        (&unjudged, "score", ValueRef::Real(0.0)),
        (&unjudged, "height_px", ValueRef::Integer(1)),
    ] {
        let mut cells = Cells::of_row(row, None);
        cells.0[at(column)] = value;
        let fault = cells.row(ValueRef::Integer(cells.checksum().into()), ValueRef::Null).unwrap_err();
        assert!(matches!(fault, RowFault::Value { .. }), "{column} {value:?}: {fault:?}");
    }
}

#[test]
fn row_fault_names_the_column() {
    let row = testing::row(1);
    let mut cells = Cells::of_row(&row, None);
    cells.0[COUNT - 1] = ValueRef::Blob(&[1; 31]);
    let fault = cells.row(ValueRef::Integer(cells.checksum().into()), ValueRef::Null).unwrap_err();
    assert!(matches!(fault, RowFault::Value { column: "settings", .. }), "{fault:?}");
}

#[test]
fn witnesses_are_kept_with_every_digit_and_in_their_order() {
    let row = testing::joined_row(1);
    let text = witnesses(&row).unwrap();
    assert_eq!(text, "diad=0.1 bank:efficientnet-lite2=1.25e-7");
    let cells = Cells::of_row(&row, Some(&text));
    assert_eq!(cells.row(ValueRef::Integer(cells.checksum().into()), ValueRef::Null), Ok(row));
}
