//! What is counted, as Prometheus reads it: base units, counters for everything that is accounted for.

use std::path::Path;
use std::sync::atomic::Ordering;

use diad_publish::wire::State;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use rustix::fs::statvfs;

use super::live_stats::{Labels, Latency};
use super::plant::Plant;
use crate::guard::GoldenRequest;
use crate::health::{Health, Source};

/// The format of [`text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of a station.
#[must_use]
pub fn text(plant: &Plant) -> String {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail, and every family below has a name, a kind and its samples.
    if let Err(error) = TextEncoder::new().encode(&families(plant), &mut bytes) {
        tracing::error!(%error, "metrics cannot be written");
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn families(plant: &Plant) -> Vec<MetricFamily> {
    let totals = plant.account.get().map(crate::line::Account::totals).unwrap_or_default();
    let (late, unrecorded) = plant.account.get().map(crate::line::Account::asides).unwrap_or_default();
    let link = plant.publisher.status();
    let (verdicts, latency) = plant.board.scrape(&plant.cameras);
    let stages = plant.board.stages();
    let info = [
        ("line", plant.line.as_str()),
        ("station", plant.station.as_str()),
        ("run", plant.run.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("model", &plant.model.to_string()),
        ("thresholds", &plant.thresholds.current().digest().to_string()),
    ];
    let verdicts = verdicts.iter().map(|(Labels { camera, product, verdict, reason }, count)| {
        let labels = [("camera", camera.as_str()), ("product", product), ("verdict", verdict), ("reason", reason)];
        counter(&labels, *count)
    });
    let one = |name, help, value: f64| family(name, help, MetricType::GAUGE, vec![gauge(&[], value)]);
    let count = |name, help, value: u64| family(name, help, MetricType::COUNTER, vec![counter(&[], value)]);
    let mut families = vec![
        family("diad_info", "Always 1; the labels identify the run", MetricType::GAUGE, vec![gauge(&info, 1.0)]),
        count("diad_parts_entered_total", "Parts that entered the line", totals.triggered),
        count(
            "diad_verdicts_overdue_total",
            "Verdicts decided in time that were on record only after their deadline",
            totals.overdue,
        ),
        family("diad_verdicts_total", "Verdicts decided", MetricType::COUNTER, verdicts.collect()),
        count(
            "diad_verdicts_unseen_total",
            "Verdicts that diad_verdicts_total misses because the queue of the page was full",
            plant.board.unseen(),
        ),
        one("diad_parts_open", "Parts without a verdict yet", totals.open as f64),
        one(
            "diad_parts_unaccounted",
            "Parts that were counted and cannot be found; above 0 is an alarm",
            totals.unaccounted() as f64,
        ),
        one(
            "diad_verdicts_unacknowledged",
            "Verdicts on record that the broker has not acknowledged",
            totals.owed as f64,
        ),
        count("diad_results_late_total", "Results that came after the verdict of their part", late),
        count(
            "diad_verdicts_unrecorded_total",
            "Verdicts that the ledger could not take when they went out",
            unrecorded,
        ),
        count(
            "diad_pictures_left_out_total",
            "Parts whose pictures could not be taken or kept",
            plant.archive.left_out(),
        ),
        count(
            "diad_marks_total",
            "Labels that people gave on the page, withdrawn ones included",
            plant.marked.load(Ordering::Relaxed),
        ),
        count("diad_verdicts_acknowledged_total", "Verdicts that the broker acknowledged", link.acknowledged),
        count("diad_verdicts_dropped_total", "Verdicts without a record that left memory unacknowledged", link.dropped),
        count("diad_rejects_acknowledged_total", "Reject bits that the broker acknowledged", link.rejects_acknowledged),
        one("diad_broker_connected", "1 while the broker is connected", f64::from(u8::from(link.connected))),
        count("diad_broker_connections_total", "Connections that the broker accepted", link.connections),
        count("diad_inbound_refused_total", "Messages from the plant that were refused", link.inbound_refused),
        count(
            "diad_triggers_missing_total",
            "Triggers that never arrived, by the counts of those that did",
            plant.account.get().map_or(0, crate::line::Account::triggers_missing),
        ),
        one(
            "diad_triggers_prompt",
            "1 while the link proves that a trigger that arrives now has not waited",
            f64::from(u8::from(link.prompt)),
        ),
        count(
            "diad_inbound_lost_total",
            "Messages from the plant that were dropped because too many came at once",
            link.inbound_lost,
        ),
        one(
            "diad_deadline_seconds",
            "Promised time from capture to verdict, deadline_ms of the settings",
            f64::from(plant.deadline_ms) / 1e3,
        ),
        family(
            "diad_verdict_latency_seconds",
            "Time from capture to verdict",
            MetricType::HISTOGRAM,
            vec![histogram(&[], &latency)],
        ),
        family(
            "diad_stage_duration_seconds",
            "Time that parts took in each stage of the method",
            MetricType::HISTOGRAM,
            stages.iter().map(|(stage, latency)| histogram(&[("stage", stage.as_str())], latency)).collect(),
        ),
    ];
    // Behind the first, which identifies the run.
    families.splice(1..1, states(&plant.health));
    families.extend(results(plant));
    families.extend(disk(&plant.ledger));
    if let Some(margin_ms) = plant.board.least_margin_ms() {
        families.push(one(
            "diad_deadline_margin_min_seconds",
            "Smallest time that was left before a deadline since the start; negative if one was missed",
            margin_ms / 1e3,
        ));
    }
    // A family without samples is left out.
    families.retain(|family| !family.get_metric().is_empty());
    families
}

/// How the station is.
fn states(health: &Health) -> [MetricFamily; 3] {
    let (state, faults) = health.faults();
    let states = State::ALL.map(|word| gauge(&[("state", word.as_str())], f64::from(u8::from(word == state))));
    let problems = faults.iter().map(|source| gauge(&[("source", source)], 1.0));
    let valid = !faults.iter().any(|source| *source == Source::Thresholds);
    [
        family("diad_state", "1 for the present state of the station", MetricType::GAUGE, states.to_vec()),
        family("diad_problem", "1 for each health source with a fault", MetricType::GAUGE, problems.collect()),
        family(
            "diad_thresholds_valid",
            "0 while a save of thresholds.yaml is refused",
            MetricType::GAUGE,
            vec![gauge(&[], f64::from(u8::from(valid)))],
        ),
    ]
}

/// What Prometheus reads of how the station is.
#[cfg(test)]
pub(crate) fn states_text(health: &Health) -> String {
    let families: Vec<_> = states(health).into_iter().filter(|family| !family.get_metric().is_empty()).collect();
    TextEncoder::new().encode_to_string(&families).unwrap()
}

/// The file system of the ledger; nothing where it cannot be asked. Its numbers are in the system's memory, so that a disk
/// that hangs does not hold up the answer.
fn disk(ledger: &Path) -> Vec<MetricFamily> {
    let Ok(found) = statvfs(ledger) else { return Vec::new() };
    let one = |name, help, blocks: u64| {
        let bytes = blocks.saturating_mul(found.f_frsize) as f64;
        family(name, help, MetricType::GAUGE, vec![gauge(&[], bytes)])
    };
    vec![
        one("diad_disk_free_bytes", "Space that the station may still fill on the disk of its ledger", found.f_bavail),
        one("diad_disk_size_bytes", "Size of the disk of the ledger", found.f_blocks),
    ]
}

/// How saves of the thresholds and golden parts came out.
fn results(plant: &Plant) -> [MetricFamily; 2] {
    let by = |result, count| counter(&[("result", result)], count);
    let saves = plant.thresholds.saves();
    let golden = plant.golden.as_ref().map(GoldenRequest::judged);
    let golden = golden.map(|golden| vec![by("right", golden.right), by("wrong", golden.wrong)]);
    [
        family(
            "diad_thresholds_saves_total",
            "Saves of thresholds.yaml that were read",
            MetricType::COUNTER,
            vec![by("taken", saves.taken), by("refused", saves.refused)],
        ),
        family("diad_golden_parts_total", "Golden parts judged", MetricType::COUNTER, golden.unwrap_or_default()),
    ]
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let (mut metric, mut gauge) = (labelled(labels), Gauge::default());
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let (mut metric, mut counter) = (labelled(labels), Counter::default());
    counter.set_value(value as f64);
    metric.set_counter(counter);
    metric
}

fn histogram(labels: &[(&str, &str)], latency: &Latency) -> Metric {
    let buckets = Latency::BOUNDS_S.iter().zip(latency.counts).map(|(&bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let (mut metric, mut histogram) = (labelled(labels), Histogram::default());
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(latency.count);
    histogram.set_sample_sum(latency.sum_s);
    metric.set_histogram(histogram);
    metric
}
