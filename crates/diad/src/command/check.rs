//! `diad check`: is this station's configuration sound? Opens no camera and no socket.

pub(super) mod places;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use diad_core::name::ProductName;
use diad_engine::Bundle;
use diad_publish::wire::Digest;
use serde_json::{Value, json};

use self::places::Places;
use super::CommandError;
use crate::chain::chain;
use crate::cli::CheckArgs;
use crate::exit::Exit;
use crate::guard::golden;
use crate::learnt::{Store, overlays};
use crate::model;
use crate::output;
use crate::products::{OnUnknown, Products};
use crate::settings::{self, Examined, Named, Variable};
use crate::thresholds::ThresholdSet;
use crate::yaml::{Fault, Mark, Place, text};

/// What a station is told that nobody has asked what becomes of parts of an unknown product: earlier versions judged them by
/// the default.
const UNKNOWN_PRODUCT_NOTICE: &str = "on_unknown_product is not set: a part of a product that neither thresholds nor model name is \
                      UNJUDGED(product); earlier versions judged it by the default, as on_unknown_product: default does";

/// Checks settings, thresholds and model bundle, and prints every fault.
///
/// # Errors
/// [`CommandError::Faults`] if there is any, [`CommandError::Output`] if they cannot be printed.
pub fn run(args: &CheckArgs, variables: &[Variable]) -> Result<(), CommandError> {
    let findings = Findings::of(&args.config, variables);
    output::print(&if args.json { findings.json() } else { findings.text(&args.config) })?;
    findings.verdict()
}

/// Every fault of what a station starts with, for one that does not: a line each, and how the process ends. `None` if
/// there is none to be found here.
pub(super) fn faults(config: &Path, variables: &[Variable]) -> Option<(Vec<Fault>, CommandError)> {
    let findings = Findings::of(config, variables);
    let error = findings.verdict().err()?;
    Some((findings.faults().cloned().collect(), error))
}

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Faults of settings and thresholds.
    settings: Vec<Fault>,
    /// Faults of the model bundle.
    bundle: Vec<Fault>,
    pub(super) notices: Vec<String>,
    settings_digest: Option<Digest>,
    thresholds_digest: Option<Digest>,
    model: Option<String>,
}

impl Findings {
    fn of(config: &Path, variables: &[Variable]) -> Self {
        let mut findings = Self::default();
        match text::load(config) {
            Ok(text) => Self::of_examined(settings::examine(&text, &config.to_string_lossy(), variables), variables),
            Err(fault) => {
                findings.settings.push(fault);
                findings
            }
        }
    }

    /// What is wrong with settings that have been read, and with what they name.
    pub(super) fn of_examined(examined: Examined, variables: &[Variable]) -> Self {
        let mut findings = Self::default();
        let places = Places::of(&examined);
        let place = examined.draft.map(|settings| {
            let roots = model::roots(settings.engine().foundations.as_deref(), variables);
            (Store::beside(&settings.ledger().path), roots)
        });
        match examined.settings {
            Ok(settings) => findings.settings_digest = Some(settings.digest()),
            Err(faults) => findings.settings = faults,
        }
        findings.settings.extend(places.faults);
        findings.notices.extend(places.notices);
        findings.settings.sort();
        let thresholds = examined.thresholds.and_then(|named| findings.thresholds(&named));
        let bundle = examined.model.and_then(|named| findings.bundle(&named));
        let golden = examined.golden.map(|golden| findings.golden(&golden)).unwrap_or_default();
        if let (Some(bundle), Some((steps, place))) = (&bundle, examined.steps) {
            findings.steps(bundle, steps, place);
        }
        if let (Some(thresholds), Some(bundle)) = (thresholds, bundle) {
            if let (Some((store, roots)), Ok(model)) = (place, Digest::try_from_hex(bundle.model_id())) {
                findings.settings.extend(overlays::check(&thresholds, &store, model, &roots));
            }
            let known = &bundle.manifest().products;
            let strangers = thresholds.strangers(known);
            findings.notices.extend(strangers.iter().map(|notice| format!("thresholds: {notice}")));
            let products = Products::new(known, OnUnknown::Unjudged);
            let strangers = golden.iter().filter_map(|product| products.stranger(Some(&thresholds), product));
            findings.notices.extend(strangers.map(|notice| format!("golden: {notice}")));
            if !examined.says_unknown_product && thresholds.products().next().is_some() {
                findings.notices.push(UNKNOWN_PRODUCT_NOTICE.to_owned());
            }
        }
        findings
    }

    /// The products of the golden parts.
    fn golden(&mut self, named: &Named) -> BTreeSet<ProductName> {
        self.settings.extend(golden::check(&named.path).into_iter().map(|error| named.fault(chain(&error))));
        let all = golden::list(&named.path).unwrap_or_default();
        self.notices.extend(golden::without_bad(&all).map(|notice| format!("golden: {notice}")));
        all.into_iter().map(|golden| golden.product).collect()
    }

    fn verdict(&self) -> Result<(), CommandError> {
        let count = self.faults().count();
        match (self.settings.is_empty(), self.bundle.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(CommandError::Faults { count, exit: Exit::Settings }),
            (true, false) => Err(CommandError::Faults { count, exit: Exit::BadData }),
        }
    }

    fn thresholds(&mut self, named: &Named) -> Option<ThresholdSet> {
        match ThresholdSet::load(&named.path) {
            Ok(set) => {
                self.thresholds_digest = Some(set.digest());
                Some(set)
            }
            // A file that cannot be read has no line of its own: the one that names it is to be looked at.
            Err(faults) => {
                self.settings.extend(faults.into_iter().map(|fault| match &fault.place {
                    Place::File { file, mark: None } => {
                        Fault { allowed: fault.allowed, ..named.fault(format!("{file} {}", fault.message)) }
                    }
                    _ => fault,
                }));
                None
            }
        }
    }

    fn steps(&mut self, bundle: &Bundle, steps: u32, place: Place) {
        if let Err(error) = model::method(bundle, Some(steps)) {
            let path = "engine.steps".to_owned();
            self.settings.push(Fault { place, path, message: chain(&error), allowed: None });
        }
    }

    fn bundle(&mut self, named: &Named) -> Option<Bundle> {
        match Bundle::open(&named.path) {
            Ok(bundle) => {
                self.model = Some(match Digest::try_from_hex(bundle.model_id()) {
                    Ok(digest) => digest.to_string(),
                    Err(_) => bundle.model_id().to_owned(),
                });
                Some(bundle)
            }
            Err(error) => {
                self.bundle.push(named.fault(chain(&error)));
                None
            }
        }
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.settings.iter().chain(&self.bundle)
    }

    fn text(&self, config: &Path) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        for fault in self.faults() {
            let _ = writeln!(text, "{fault}");
        }
        for notice in &self.notices {
            let _ = writeln!(text, "notice: {notice}");
        }
        if self.faults().next().is_none() {
            let _ = writeln!(text, "{}: sound", config.display());
            for (what, digest) in self.digests() {
                let _ = writeln!(text, "{what}: {digest}");
            }
        }
        text
    }

    fn json(&self) -> String {
        let digests: serde_json::Map<_, _> =
            self.digests().map(|(what, digest)| (what.to_owned(), Value::from(digest))).collect();
        let document = json!({
            "ok": self.faults().next().is_none(),
            "faults": self.faults().map(fault_json).collect::<Vec<_>>(),
            "notices": self.notices,
            "digests": digests,
        });
        format!("{document:#}\n")
    }

    fn digests(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("settings", self.settings_digest.map(|d| d.to_string())),
            ("thresholds", self.thresholds_digest.map(|d| d.to_string())),
            ("model", self.model.clone()),
        ]
        .into_iter()
        .filter_map(|(what, digest)| Some((what, digest?)))
    }
}

fn fault_json(fault: &Fault) -> Value {
    let (file, mark) = match &fault.place {
        Place::File { file, mark } => (file.to_string(), *mark),
        place @ Place::Environment { .. } => (place.to_string(), None),
    };
    json!({
        "file": file,
        "line": mark.map(|Mark { line, .. }| line),
        "column": mark.map(|Mark { column, .. }| column),
        "path": fault.path,
        "message": fault.message,
        "allowed": fault.allowed,
    })
}
