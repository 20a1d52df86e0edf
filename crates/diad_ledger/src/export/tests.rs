use std::fs::File;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::{Field, RowAccessor};
use diad_core::event::Reason;

use super::*;
use crate::testing::{self, Place};
use crate::{Ledger, RowId, Span, StoredRow};

/// A judged part that was acknowledged, and an unjudged one that was not.
fn two(place: &Place) -> Ledger {
    let mut ledger = place.open();
    let mut unjudged = testing::unjudged(2, Reason::Camera);
    (unjudged.part, unjudged.product) = (None, None);
    unjudged.source = Some("tray \"7\", left.png".into());
    let ids = testing::firsts(&ledger.record(&[testing::row(1), unjudged]).unwrap());
    ledger.mark_sent(&[testing::sent(ids[0])]).unwrap();
    ledger
}

#[test]
fn csv_has_the_words_of_the_wire() {
    let place = Place::new();
    let ledger = two(&place);
    let mut out = Vec::new();
    let exported = csv(ledger.read().rows(Span::ALL), &mut out).unwrap();
    assert_eq!((exported.rows, exported.damaged.total), (2, 0));
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("line,station,camera,run,seq,part,product,source,verdict,reason,score,"), "{text}");
    let digests = [1, 0x54, 0xab].map(|byte: u8| format!("sha256:{}", format!("{byte:02x}").repeat(32))).join(",");
    let run = "01JGGZ0000000000000000000A";
    assert_eq!(
        lines[1],
        format!(
            "L1,S1,cam0,{run},1,P-1,washer,,PASS,,0.125,0.3,0.38,12,120,44,32,20,2026-01-01T08:00:01.000000Z,\
             2026-01-01T08:00:01.037556Z,37.556,200,{digests},1.235,,,,20.0,,,,,2026-01-01T08:00:01.000000Z,1,0,,,,"
        )
    );
    assert_eq!(
        lines[2],
        format!(
            "L1,S1,cam0,{run},2,,,\"tray \"\"7\"\", left.png\",UNJUDGED,camera,,,,,,,,,2026-01-01T08:00:02.000000Z,\
             2026-01-01T08:00:02.037556Z,37.556,200,{digests},1.235,,,,20.0,,,,,,2,0,,,,"
        )
    );
    assert_eq!(lines.len(), 3);
}

#[test]
fn csv_says_what_each_witness_said() {
    let place = Place::new();
    let mut ledger = place.open();
    ledger.record(&[testing::joined_row(1)]).unwrap();
    let mut out = Vec::new();
    csv(ledger.read().rows(Span::ALL), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().ends_with(",foundation_ms,latent_ms,bank_ms,witnesses"), "{text}");
    assert!(lines.next().unwrap().ends_with(",diad=0.1 bank:efficientnet-lite2=1.25e-7"), "{text}");
}

#[test]
fn parquet_reads_back_with_types_and_nulls() {
    let place = Place::new();
    let ledger = two(&place);
    let path = place.folder().join("out.parquet");
    let exported = parquet(ledger.read().rows(Span::ALL), File::create(&path).unwrap()).unwrap();
    assert_eq!((exported.rows, exported.damaged.total), (2, 0));
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let fields = reader.metadata().file_metadata().schema().get_fields();
    let at = |name: &str| fields.iter().position(|field| field.name() == name).unwrap();
    assert_eq!(fields.len(), columns::COLUMNS.len());
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    let cell = |row: usize, name: &str| rows[row].get_column_iter().nth(at(name)).unwrap().1.clone();
    assert_eq!(cell(0, "verdict"), Field::Str("PASS".to_owned()));
    assert_eq!(cell(0, "score"), Field::Float(0.125));
    assert_eq!(cell(0, "seq"), Field::ULong(1));
    assert_eq!(cell(0, "captured_at"), Field::TimestampMicros(testing::START_MICROS + 1_000_000));
    assert_eq!(cell(0, "latency_ms"), Field::Double(37.556));
    assert_eq!(cell(1, "reason"), Field::Str("camera".to_owned()));
    for name in ["score", "part", "x_px", "acknowledged_at", "encode_ms"] {
        assert_eq!(cell(1, name), Field::Null, "{name}");
    }
}

#[test]
fn parquet_of_many_rows_and_of_none_reads_back() {
    let place = Place::new();
    for count in [0, 1, 20_000] {
        let stored = |seq: u64| StoredRow { id: RowId(seq.cast_signed()), row: testing::row(seq), acknowledged: None };
        let path = place.folder().join(format!("{count}.parquet"));
        let out = File::create(&path).unwrap();
        assert_eq!(parquet((1..=count).map(|seq| Ok(Ok(stored(seq)))), out).unwrap().rows, count);
        let read = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let seqs = read.get_row_iter(None).unwrap().map(|row| row.unwrap().get_ulong(4).unwrap());
        assert!(seqs.eq(1..=count));
    }
}

#[test]
fn damaged_rows_are_left_out_and_counted() {
    let place = Place::new();
    let ledger = two(&place);
    testing::shell(&ledger).execute("UPDATE parts SET verdict = 'REVIEW' WHERE seq = 1", []).unwrap();
    let mut out = Vec::new();
    let exported = csv(ledger.read().rows(Span::ALL), &mut out).unwrap();
    assert_eq!((exported.rows, exported.damaged.total), (1, 1));
    assert!(!String::from_utf8(out).unwrap().contains("REVIEW"));
    let exported = parquet(ledger.read().rows(Span::ALL), Vec::new()).unwrap();
    assert_eq!((exported.rows, exported.damaged.total), (1, 1));
}

#[test]
fn csv_to_a_full_disk_says_so() {
    let place = Place::new();
    let ledger = two(&place);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = csv(ledger.read().rows(Span::ALL), full).unwrap_err();
    assert!(matches!(error, ExportError::Csv(_)), "{error:?}");
}
