//! `diad learn --from-ledger`: recorded parts that a person called good are added to what was learnt, after it was shown
//! which recorded verdicts would change.
//!
//! The cut-offs stay: parts that were rejected and are good are the far end of the good ones, and say nothing of how many of
//! those to come lie there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use diad_core::bank::Bank;
use diad_core::event::Outcome;
use diad_core::frame::Roi;
use diad_core::judge::Verdict;
use diad_core::learning;
use diad_core::name::{CameraId, ProductName};
use diad_core::tensor::Tensor;
use diad_ledger::{Mark, Reader, Span};

use super::error::{LearnError, Listed};
use super::lesson::{self, Known};
use super::pictures::Picture;
use super::record;
use super::report;
use super::session::{self, Phase, Session};
use super::trial::Earlier;
use super::view::View;
use crate::archive::{self, ImageKind};
use crate::cli::LearnArgs;
use crate::command::RegionError;
use crate::learnt::Cuts;
use crate::learnt::overlays::model_name as digest;
use crate::settings::{self, Settings, Variable};

/// Recorded parts without a mark that are judged anew, the newest first: those with one all are.
const MAX_UNLABELLED_PARTS: usize = 300;
/// Rows that the bank may grow by for each part that is added.
const ROWS_A_PART: usize = 64;

/// A recorded part whose picture is kept.
struct Recorded {
    /// As people read it.
    part: String,
    mark: Option<Mark>,
    camera: CameraId,
    path: PathBuf,
}

/// What is said of a recorded part now, and what would be said.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) part: String,
    pub(super) mark: Option<Mark>,
    pub(super) score: (f32, f32),
    pub(super) verdict: (Verdict, Verdict),
}

/// What a report says.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) product: ProductName,
    /// Parts that are added.
    pub(super) added: Vec<String>,
    /// Patches of them that look like a known defect, and were left out.
    pub(super) refused: usize,
    /// Recorded parts that were judged anew.
    pub(super) judged: Vec<Change>,
    pub(super) rows: (Vec<usize>, Vec<usize>),
    /// The new bank and what changes in the thresholds; none where nothing is written.
    pub(super) written: Option<(String, String)>,
}

/// Adds them, if told to, and gives the report.
pub(super) fn run(args: &LearnArgs, variables: &[Variable]) -> Result<String, LearnError> {
    let site = session::site(args, variables)?;
    let shelf = site.store().shelf(&args.product);
    let known = Known::of(&site, &args.product)?;
    let _lock = shelf.lock()?;
    let Some(config) = &args.camera.config else {
        return Err(LearnError::NothingToAddTo { product: args.product.clone() });
    };
    let settings = settings::load(config, variables).map_err(RegionError::Settings)?;
    let (recorded, without) = recorded(&settings, &args.product)?;
    let (recorded, pictures) = decoded(recorded);
    let is_new = |place: &usize| {
        recorded[*place].mark == Some(Mark::FalseReject)
            && !known.record.pictures.contains(&record::name(&pictures[*place].pixels))
    };
    let added: Vec<usize> = (0..recorded.len()).filter(is_new).collect();
    if added.is_empty() {
        return Err(match recorded.iter().filter(|part| part.mark == Some(Mark::FalseReject)).count() {
            0 => LearnError::NoMarks { product: args.product.clone(), without },
            copies => LearnError::AllKnown { product: args.product.clone(), copies },
        });
    }
    let names = known.foundations();
    let mut session = Session::open(args, site, shelf, &names, variables)?;
    let (known, earlier) = known.checked(&session)?;
    let Some(cuts) = known.cuts() else {
        return Err(LearnError::Unrecorded { product: args.product.clone() });
    };
    let views = look_at(&mut session, &settings, &recorded, &pictures)?;
    let (banks, refused) = extended(&session, &earlier, &recorded, &views, &added)?;
    let judged = judged(&session, &earlier, &banks, &cuts, &recorded, &views)?;
    let rows = |banks: &[Bank]| banks.iter().map(Bank::len).collect::<Vec<_>>();
    let mut told = Told {
        product: args.product.clone(),
        added: added.iter().map(|place| recorded[*place].part.clone()).collect(),
        refused,
        rows: (rows(&earlier.banks), rows(&banks)),
        judged,
        written: None,
    };
    if args.yes {
        let passing: Vec<String> = told.lost().map(|change| change.part.clone()).collect();
        if !passing.is_empty() && !args.force {
            return Err(LearnError::DefectsPass { named: Listed(passing) });
        }
        let mut record = known.record.clone();
        record.pictures.extend(added.iter().map(|place| record::name(&pictures[*place].pixels)));
        let parts = known.parts + added.len() as u64;
        let source = format!("{} recorded parts that a person called good", added.len());
        let header = lesson::header(&session, &earlier.shares, &record, parts, &source, Some(&known))?;
        let (bank, _, diff) = lesson::keep(args, &session, &header, &banks, cuts, "cut-offs as before")?;
        told.written = Some((digest(bank), diff.unwrap_or_default()));
        if !args.dry_run {
            session.finish();
        }
    }
    Ok(if args.json { report::marked_json(&told) } else { report::marked_text(&told) })
}

impl Told {
    /// Recorded parts of which something else would be said.
    pub(super) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.judged.iter().filter(|change| change.verdict.0 != change.verdict.1)
    }

    /// Known defects that would pass and do not pass now.
    pub(super) fn lost(&self) -> impl Iterator<Item = &Change> {
        self.changes().filter(|change| change.mark == Some(Mark::TrueReject) && change.verdict.1 == Verdict::Pass)
    }
}

/// Recorded parts of a product whose pictures are kept, and how many that a person called good have none.
fn recorded(settings: &Settings, product: &ProductName) -> Result<(Vec<Recorded>, usize), LearnError> {
    let ledger = &settings.ledger().path;
    let reader = Reader::open(ledger)?;
    let images = archive::folder_of(ledger);
    let marks = reader.marks()?;
    let mut without = 0;
    let mut parts = Vec::new();
    for entry in reader.rows(Span::ALL) {
        let Ok(stored) = entry? else { continue };
        if stored.row.product.as_ref() != Some(product) || !matches!(stored.row.outcome, Outcome::Judged(_)) {
            continue;
        }
        let mark = marks.get(&stored.id).copied();
        let path = images.join(archive::file_of(&stored.row, ImageKind::Frame));
        if path.is_file() {
            let (part, camera) = (stored.row.key.to_string(), stored.row.key.series.camera.clone());
            parts.push(Recorded { part, mark, camera, path });
        } else {
            without += usize::from(mark == Some(Mark::FalseReject));
        }
    }
    let surplus = parts.iter().filter(|part| part.mark.is_none()).count().saturating_sub(MAX_UNLABELLED_PARTS);
    let mut seen = 0;
    parts.retain(|part| {
        seen += usize::from(part.mark.is_none());
        part.mark.is_some() || seen > surplus
    });
    Ok((parts, without))
}

/// The parts whose pictures can be read: one that was deleted or torn meanwhile is left out.
fn decoded(recorded: Vec<Recorded>) -> (Vec<Recorded>, Vec<Picture>) {
    let bar = Phase::Decode.bar(Some(recorded.len()));
    let read = recorded.into_iter().filter_map(|part| {
        bar.inc(1);
        match Picture::read(&part.path) {
            Ok(picture) => Some((part, picture)),
            Err(reason) => {
                tracing::warn!(picture = %part.path.display(), %reason, "left out");
                None
            }
        }
    });
    let read = read.unzip();
    bar.finish_and_clear();
    read
}

fn look_at(
    session: &mut Session,
    settings: &Settings,
    recorded: &[Recorded],
    pictures: &[Picture],
) -> Result<Vec<View>, LearnError> {
    let regions: BTreeMap<&CameraId, Option<Roi>> =
        settings.cameras().iter().map(|camera| (&camera.id, camera.roi)).collect();
    let bar = Phase::Look.bar(Some(pictures.len()));
    let mut views = Vec::with_capacity(pictures.len());
    for (part, picture) in recorded.iter().zip(pictures) {
        views.push(session.look(picture, Some(regions.get(&part.camera).copied().flatten()))?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(views)
}

/// The banks with what is new in the added parts, and how many patches look like a known defect.
fn extended(
    session: &Session,
    earlier: &Earlier,
    recorded: &[Recorded],
    views: &[View],
    added: &[usize],
) -> Result<(Vec<Bank>, usize), LearnError> {
    let ground = session.ground();
    let defects: Vec<&View> = (0..views.len())
        .filter(|place| recorded[*place].mark == Some(Mark::TrueReject))
        .map(|place| &views[place])
        .collect();
    let mut refused = 0;
    let mut candidates = Vec::new();
    for (foundation, good) in earlier.banks.iter().enumerate() {
        let mut bad = Vec::new();
        for view in &defects {
            bad.extend(ground.peak_patch(view, earlier, foundation)?);
        }
        let bad = (!bad.is_empty()).then(|| Bank::try_new(bad, good.channels())).transpose()?;
        let mut patches = Tensor::zeros(ground.shapes[foundation]);
        let mut rows = Vec::new();
        for place in added {
            views[*place].read_patches(foundation, &mut patches);
            match &bad {
                Some(bad) => refused += learning::take_good(&patches, good, bad, &mut rows)?,
                None => learning::draw(&patches, usize::MAX, 0, &mut rows),
            }
        }
        candidates.push(rows);
    }
    Ok((ground.extended(&earlier.banks, &candidates, ROWS_A_PART * added.len())?, refused))
}

/// Every recorded part as it is judged now, and as it would be.
fn judged(
    session: &Session,
    earlier: &Earlier,
    banks: &[Bank],
    cuts: &Cuts,
    recorded: &[Recorded],
    views: &[View],
) -> Result<Vec<Change>, LearnError> {
    let before = session.scores(views, &earlier.banks, &earlier.shares)?;
    let after = session.scores(views, banks, &earlier.shares)?;
    let verdict = |score: f32| match score {
        score if score >= cuts.reject.get() => Verdict::Reject,
        score if score >= cuts.review.get() => Verdict::Review,
        _ => Verdict::Pass,
    };
    let changes = recorded.iter().zip(before.into_iter().zip(after)).map(|(part, (before, after))| Change {
        part: part.part.clone(),
        mark: part.mark,
        score: (before, after),
        verdict: (verdict(before), verdict(after)),
    });
    Ok(changes.collect())
}
