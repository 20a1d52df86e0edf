//! What was learnt, and the step to it: overlay, cut-offs and pointer, all of them or nothing.

use std::collections::BTreeSet;
use std::time::SystemTime;

use diad_core::bank::Bank;
use diad_core::drift::Look;
use diad_core::foundation::Foundation;
use diad_core::join::Share;
use diad_core::name::ProductName;
use diad_engine::{FoundationMark, JoinEntry, Overlay, OverlayError, OverlayHeader};
use diad_ledger::Moment;
use diad_publish::wire::Digest;

use super::error::LearnError;
use super::promise::{Asked, Promise};
use super::record::Record;
use super::session::Session;
use super::trial::{Earlier, Trial};
use crate::cli::LearnArgs;
use crate::learnt::overlays::model_name;
use crate::learnt::{Current, Cuts, Site, State};
use crate::thresholds::edit;

/// What was learnt before.
pub(super) struct Known {
    overlay: Overlay,
    /// What it remembers of its parts.
    pub(super) record: Record,
    /// How many parts it was made of.
    pub(super) parts: u64,
    /// How the product is judged.
    pub(super) current: Current,
}

/// What comes out of a run, before it is kept.
pub(super) struct LearningRun {
    /// Parts that are new.
    pub(super) new_parts: usize,
    /// Their pictures.
    pub(super) pictures: BTreeSet<String>,
    /// The bank of each foundation.
    pub(super) banks: Vec<Bank>,
    /// How the new parts came out while they were held out.
    pub(super) trial: Trial,
    /// How they look.
    pub(super) looks: Vec<Look>,
    /// Those that stand out, worst first.
    pub(super) doubtful: Vec<String>,
    /// Their files, in the order of their scores.
    pub(super) names: Vec<String>,
    /// What they are added to.
    pub(super) earlier: Option<Known>,
}

/// Where the parts are from.
pub(super) struct Source {
    /// For people.
    pub(super) words: String,
    /// Pictures that were left out as copies, or as known already.
    pub(super) copies: usize,
}

/// What a report says.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) product: ProductName,
    /// Parts in all, and those that are new.
    pub(super) parts: (u64, usize),
    pub(super) copies: usize,
    pub(super) doubtful: Vec<String>,
    /// Every new part with the score that it had while it was held out.
    pub(super) scores: Vec<(String, f32)>,
    /// Every witness with its scale.
    pub(super) witnesses: Vec<(String, Share)>,
    pub(super) promise: Promise,
    pub(super) asked: Asked,
    pub(super) bank: Digest,
    pub(super) bytes: usize,
    /// Rows of each bank.
    pub(super) rows: Vec<usize>,
    /// The thresholds file and what changes in it; none where there is no station.
    pub(super) diff: Option<String>,
    pub(super) dry_run: bool,
}

impl Known {
    /// What is in use of a product.
    ///
    /// # Errors
    /// [`LearnError::NothingToAddTo`], [`LearnError::Earlier`], [`LearnError::Unrecorded`].
    pub(super) fn of(site: &Site, product: &ProductName) -> Result<Self, LearnError> {
        let current = site.current(product)?;
        let Some(bank) = current.now.bank else {
            return Err(LearnError::NothingToAddTo { product: product.clone() });
        };
        let refused = |source| LearnError::Earlier { product: product.clone(), source: Box::new(source) };
        let digest = diad_engine::Digest::from_bytes(bank.to_bytes());
        let overlay = Overlay::open(&site.store().shelf(product).path(bank), Some(digest)).map_err(refused)?;
        overlay.expect_product(product.as_str()).map_err(refused)?;
        let record = overlay.header().learn.clone().and_then(|value| serde_json::from_value(value).ok());
        let record = record.ok_or_else(|| LearnError::Unrecorded { product: product.clone() })?;
        Ok(Self { record, parts: overlay.header().parts, current, overlay })
    }

    /// Names of its foundations.
    pub(super) fn foundations(&self) -> Vec<String> {
        self.overlay.header().foundations.iter().map(|mark| mark.name.clone()).collect()
    }

    /// Its banks and scales in the order of the session's witnesses.
    ///
    /// # Errors
    /// [`LearnError::Earlier`] where it was made with another model or foundation.
    pub(super) fn checked(self, session: &Session) -> Result<(Self, Earlier), LearnError> {
        let refused = |source| LearnError::Earlier { product: session.product.clone(), source: Box::new(source) };
        self.overlay.expect_model(&model_name(session.model)).map_err(refused)?;
        let header = self.overlay.header();
        let mut banks = Vec::new();
        for foundation in &session.foundations {
            let name = foundation.name();
            let missing = || refused(OverlayError::NoBank { tensor: diad_core::join::bank_name(name) });
            let mark = header.foundations.iter().find(|mark| mark.name == name).ok_or_else(missing)?;
            if mark.sha256 != foundation.sha256() {
                let (want, got) = (mark.sha256, foundation.sha256());
                let source = diad_engine::FoundationLoadError::Other { name: name.to_owned(), want, got };
                return Err(LearnError::of_foundation(source));
            }
            banks.push(Bank::clone(self.overlay.bank(name).ok_or_else(missing)?));
        }
        let mut shares = Vec::new();
        for witness in session.witnesses() {
            let entry = header.join.iter().find(|entry| entry.witness == witness);
            let entry = entry.ok_or_else(|| refused(OverlayError::NoBank { tensor: witness.clone() }))?;
            shares.push(Share::try_new(entry.weight, entry.mean, entry.sd)?);
        }
        if header.join.len() != shares.len() {
            return Err(LearnError::Unrecorded { product: session.product.clone() });
        }
        Ok((self, Earlier { banks, shares }))
    }

    /// The cut-offs in force.
    pub(super) const fn cuts(&self) -> Option<Cuts> {
        self.current.now.cuts
    }
}

impl LearningRun {
    /// Keeps it: the overlay first, then cut-offs and bank's name in one step, which a running station takes over between
    /// two parts. A dry run works everything out and keeps nothing.
    ///
    /// # Errors
    /// [`LearnError`]; nothing has changed then, but for [`SiteError::Pointer`](crate::learnt::SiteError::Pointer).
    pub(super) fn keep(
        self,
        args: &LearnArgs,
        asked: &Asked,
        session: &Session,
        source: &Source,
    ) -> Result<Told, LearnError> {
        let record = self.record(asked);
        let promise = asked.promise(&record.scores)?;
        let looks = record.looks.iter().map(|&[b, s]| Look { brightness: b.into(), sharpness: s.into() });
        let reference = edit::reference(record.scores.iter().copied(), looks);
        let cuts = Cuts { review: promise.review.score, reject: promise.reject.score, reference };
        let parts = self.new_parts as u64 + self.earlier.as_ref().map_or(0, |known| known.parts);
        let header = self.header(session, &record, parts, &source.words)?;
        let promised = format!(
            "at most {} of good parts rejected, confidence {}",
            promise.reject.bound.rate(),
            promise.reject.bound.confidence()
        );
        let (bank, bytes, diff) = keep(args, session, &header, &self.banks, cuts, &promised)?;
        let shares = self.trial.shares.iter().copied();
        Ok(Told {
            product: session.product.clone(),
            parts: (parts, self.new_parts),
            copies: source.copies,
            doubtful: self.doubtful,
            scores: self.names.into_iter().zip(self.trial.scores.iter().copied()).collect(),
            witnesses: session.witnesses().into_iter().zip(shares).collect(),
            promise,
            asked: asked.clone(),
            bank,
            bytes,
            rows: self.banks.iter().map(Bank::len).collect(),
            diff,
            dry_run: args.dry_run,
        })
    }

    /// What the next `--add` needs.
    fn record(&self, asked: &Asked) -> Record {
        let mut record = Record {
            pictures: self.pictures.clone(),
            scores: self.trial.scores.clone(),
            looks: self.looks.iter().map(|look| [look.brightness as f32, look.sharpness as f32]).collect(),
            max_false_reject: asked.reject.rate(),
            max_review: asked.review.rate(),
            confidence: asked.reject.confidence(),
        };
        if let Some(Known { record: earlier, .. }) = &self.earlier {
            record.pictures.extend(earlier.pictures.iter().cloned());
            record.scores.extend(&earlier.scores);
            record.looks.extend(&earlier.looks);
        }
        record
    }

    fn header(
        &self,
        session: &Session,
        record: &Record,
        parts: u64,
        source: &str,
    ) -> Result<OverlayHeader, LearnError> {
        header(session, &self.trial.shares, record, parts, source, self.earlier.as_ref())
    }
}

/// The header of an overlay that this run makes.
pub(super) fn header(
    session: &Session,
    shares: &[Share],
    record: &Record,
    parts: u64,
    source: &str,
    earlier: Option<&Known>,
) -> Result<OverlayHeader, LearnError> {
    let mark = |name: &str, sha256| FoundationMark { name: name.to_owned(), sha256 };
    let entry = |(witness, share): (String, &Share)| JoinEntry {
        witness,
        weight: share.weight(),
        mean: share.mean(),
        sd: share.sd(),
    };
    let before = earlier.map(|known| &known.overlay);
    let history =
        before.map(|overlay| std::iter::once(overlay.digest().to_string()).chain(overlay.header().history.clone()));
    let learn = serde_json::to_value(record).map_err(OverlayError::Header).map_err(LearnError::of_overlay)?;
    Ok(OverlayHeader {
        format: 1,
        product: session.product.to_string(),
        model: Some(model_name(session.model)),
        foundations: session.foundations.iter().map(|f| mark(f.name(), f.sha256())).collect(),
        join: session.witnesses().into_iter().zip(shares).map(entry).collect(),
        parts,
        created_at: Moment::from(SystemTime::now()).to_string(),
        source: source.to_owned(),
        history: history.into_iter().flatten().take(MOST_HISTORY).collect(),
        learn: Some(learn),
    })
}

/// Earlier overlays that one names.
const MOST_HISTORY: usize = 100;

/// Keeps an overlay with its cut-offs. Gives its name, its size, and what changes in the thresholds.
pub(super) fn keep(
    args: &LearnArgs,
    session: &Session,
    header: &OverlayHeader,
    banks: &[Bank],
    cuts: Cuts,
    promised: &str,
) -> Result<(Digest, usize, Option<String>), LearnError> {
    let named: Vec<(&str, &Bank)> = session.foundations.iter().map(|f| f.name()).zip(banks).collect();
    let bytes = Overlay::encode(header, &named).map_err(LearnError::of_overlay)?;
    let bank = Digest::from_bytes(diad_engine::Digest::of(&bytes).to_bytes());
    let Session { site, shelf, product, .. } = session;
    session.expect_same_mask()?;
    let mut current = site.current(product)?;
    current.go_on(State { bank: Some(bank), cuts: Some(cuts) });
    let date = header.created_at.get(..10).unwrap_or_default();
    let note = format!("{date} diad learn: {product}, {}, {promised}, model {}", header.source, session.model);
    let plan = site.plan(product, current, &note)?;
    let diff = site.thresholds().map(|_| plan.diff().to_owned());
    if !args.dry_run {
        let is_new = !shelf.path(bank).exists();
        shelf.put(&bytes)?;
        let taken = plan.draft(shelf).and_then(crate::learnt::Step::take);
        if let Err(error) = taken {
            // Nobody names it yet.
            if is_new && !matches!(error, crate::learnt::SiteError::Pointer(_)) {
                let _ = shelf.remove(bank);
            }
            return Err(error.into());
        }
    }
    Ok((bank, bytes.len(), diff))
}
