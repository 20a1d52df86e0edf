//! What was measured, for people and for programs.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use diad_engine::Provider;
use serde_json::{Map, Value, json};

use super::samples::Samples;
use crate::percentile::Percentiles;

/// What was measured on.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) model: String,
    pub(super) name: String,
    pub(super) provider: Provider,
    pub(super) threads: NonZeroUsize,
    pub(super) library: PathBuf,
    pub(super) onnxruntime: Option<String>,
    pub(super) steps: usize,
    /// Who judges beside the diffusion model, and it; empty if it judges alone.
    pub(super) witnesses: Vec<String>,
}

/// A finished measurement.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) setup: Setup,
    pub(super) samples: Samples,
    /// From the first part's beginning to the last one's end.
    pub(super) elapsed: Duration,
}

impl Report {
    fn images_per_second(&self) -> f64 {
        self.samples.parts() as f64 / self.elapsed.as_secs_f64()
    }

    pub(super) fn json(&self) -> String {
        let Setup { model, name, provider, threads, library, onnxruntime, steps, witnesses } = &self.setup;
        let samples = &self.samples;
        let stages: Map<String, Value> =
            samples.stages().map(|(stage, times)| (stage.to_string(), times.json())).collect();
        let graphs: Map<String, Value> = samples
            .graphs()
            .map(|(name, calls, times)| {
                let mut graph = times.json();
                graph["calls"] = calls.into();
                (name.to_string(), graph)
            })
            .collect();
        let document = json!({
            "model": model,
            "name": name,
            "provider": provider.as_str(),
            "threads": threads.get(),
            "library": library.to_string_lossy(),
            "onnxruntime": onnxruntime,
            "steps": steps,
            "witnesses": witnesses,
            "parts": samples.parts(),
            "seconds": self.elapsed.as_secs_f64(),
            "images_per_second": self.images_per_second(),
            "latency_ms": samples.latency().map(|times| times.json()),
            "stages_ms": stages,
            "graphs_ms": graphs,
            "outside_networks": {
                "share": samples.share_outside(),
                "p50_ms": samples.outside().map(|times| times.p50),
            },
        });
        format!("{document:#}\n")
    }

    pub(super) fn text(&self) -> String {
        let Setup { model, name, provider, threads, library, onnxruntime, steps, witnesses } = &self.setup;
        let samples = &self.samples;
        let version = onnxruntime.as_deref().unwrap_or("of unknown version");
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "model     {name} ({model})");
        let _ =
            writeln!(text, "run by    {provider}, {}, {}", counted(threads.get(), "thread"), counted(*steps, "step"));
        let _ = writeln!(text, "library   ONNX Runtime {version}, {}", library.display());
        if !witnesses.is_empty() {
            let _ = writeln!(text, "judged by {}", witnesses.join(", "));
        }
        let _ = writeln!(
            text,
            "measured  {} in {:.1} s: {:.2} images/s",
            counted(samples.parts(), "part"),
            self.elapsed.as_secs_f64(),
            self.images_per_second()
        );
        let _ = writeln!(
            text,
            "\n{:<16} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "times in ms", "count", "p50", "p90", "p99", "mean", "max"
        );
        let mut row = |what: &str, count: usize, times: Percentiles| {
            let Percentiles { p50, p90, p99, mean, max } = times;
            let _ = writeln!(text, "{what:<16} {count:>7} {p50:>9.2} {p90:>9.2} {p99:>9.2} {mean:>9.2} {max:>9.2}");
        };
        if let Some(latency) = samples.latency() {
            row("part", samples.parts(), latency);
        }
        for (stage, times) in samples.stages() {
            row(&format!("  {stage}"), samples.parts(), times);
        }
        for (name, calls, times) in samples.graphs() {
            row(&format!("network {name}"), calls, times);
        }
        if let Some(outside) = samples.outside() {
            row("outside networks", samples.parts(), outside);
        }
        let _ = writeln!(text, "\n{:.1} % of the time is spent outside the networks", 100.0 * samples.share_outside());
        text
    }
}

/// `1 part`, `2 parts`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
