//! `diad learn`: a product from good parts, on this machine: a bank of their patches, the scale of every witness, and
//! cut-offs with a promise.
//!
//! | module | holds |
//! |---|---|
//! | `pictures` | the folder: decoded, compared, each picture once |
//! | `session` | networks, mask and region of the run; looks at parts |
//! | `view`, `work` | what the networks see of a part; kept, so that an interrupted run goes on |
//! | `trial` | parts judged by banks that have not seen them |
//! | `promise` | cut-offs from their scores |
//! | `lesson` | the overlay, and the step to it |
//! | `marked` | recorded parts that a person called good |

mod error;
mod lesson;
mod marked;
mod pictures;
mod promise;
mod record;
mod report;
mod session;
mod trial;
mod view;
mod work;

use std::collections::BTreeSet;
use std::path::Path;

use diad_core::learning::{self, Outliers};

use crate::cli::LearnArgs;
use crate::output;
use crate::settings::Variable;

pub use self::error::{LearnError, Listed};
use self::lesson::{LearningRun, Source};
use self::pictures::{Collection, Picture};
use self::promise::Asked;
use self::session::{Phase, Session};
use self::trial::{Earlier, Trial};
use self::view::View;

/// Fewer different parts than this say nothing.
const LEAST_PARTS: usize = 5;
/// Parts whose patches a bank is made from; further ones only calibrate. Bounds the memory of a run.
const MOST_IN_BANK: usize = 400;
/// Two groups of parts whose centres lie this far apart, in units of the spread within them, are two products.
const TWO_KINDS: f64 = 2.9;
/// The same for fewer than [`MIN_PARTS_FOR_GROUPS`] parts, whose groups may lie apart by chance.
const TWO_KINDS_OF_FEW: f64 = 4.0;
/// From so many parts on, two groups are hardly chance.
const MIN_PARTS_FOR_GROUPS: usize = 16;
/// Fewer parts than this in a group are parts that stand out, not a product.
const LEAST_GROUP: usize = 2;

/// Learns a product, prints what came out, and writes it unless told not to.
///
/// # Errors
/// [`LearnError`]; nothing has changed then, but for [`SiteError::Pointer`](crate::learnt::SiteError::Pointer).
pub fn run(args: &LearnArgs, variables: &[Variable]) -> Result<(), LearnError> {
    let asked = Asked::of(args)?;
    yield_to_the_line();
    let text = match &args.parts {
        Some(folder) => of_folder(args, &asked, folder, variables)?,
        None => marked::run(args, variables)?,
    };
    output::print(&text)?;
    Ok(())
}

/// A station on this machine goes first: whatever this process starts from here on runs when nobody else wants to.
fn yield_to_the_line() {
    // Where that is not allowed, the machine has no line to disturb, or its owner wants it so.
    let _ = rustix::process::nice(19);
}

fn of_folder(args: &LearnArgs, asked: &Asked, folder: &Path, variables: &[Variable]) -> Result<String, LearnError> {
    let site = session::site(args, variables)?;
    let shelf = site.store().shelf(&args.product);
    let _lock = shelf.lock()?;
    let bar = Phase::Decode.bar(None);
    let mut collection = Collection::of(folder, || bar.inc(1))?;
    bar.finish_and_clear();
    let earlier = if args.add { Some(lesson::Known::of(&site, &args.product)?) } else { None };
    let mut known = Vec::new();
    if let Some(earlier) = &earlier {
        let pictures = &earlier.record.pictures;
        let (old, new) = collection.pictures.into_iter().partition(|p| pictures.contains(&record::name(&p.pixels)));
        (known, collection.pictures) = (old, new);
        if collection.pictures.is_empty() {
            return Err(LearnError::AllKnown { product: args.product.clone(), copies: known.len() });
        }
    }
    let parts = collection.pictures.len();
    if earlier.is_none() && parts < LEAST_PARTS {
        return Err(LearnError::TooFew { parts, least: LEAST_PARTS, copies: collection.copies });
    }
    if let Some(error) = collection.of_other_size().filter(|_| !args.force) {
        return Err(error);
    }
    let foundations = earlier.as_ref().map_or_else(|| args.foundation.clone(), lesson::Known::foundations);
    let mut session = Session::open(args, site, shelf, &foundations, variables)?;
    let earlier = earlier.map(|known| known.checked(&session)).transpose()?;
    let lesson = learn(args.force, &mut session, &collection.pictures, earlier)?;
    let source = Source {
        words: format!("{} good parts of {}", lesson.new_parts, folder.display()),
        copies: collection.copies.len() + known.len(),
    };
    let told = lesson.keep(args, asked, &session, &source)?;
    if !args.dry_run {
        session.finish();
    }
    Ok(if args.json { report::json(&told) } else { report::text(&told) })
}

/// Looks at all parts, judges each by banks that have not seen it, and refuses what must not be learnt unseen.
fn learn(
    force: bool,
    session: &mut Session,
    pictures: &[Picture],
    earlier: Option<(lesson::Known, Earlier)>,
) -> Result<LearningRun, LearnError> {
    let (in_bank, rest) = spread_out(pictures.len());
    let of = |places: &[usize]| -> Vec<&Picture> { places.iter().map(|place| &pictures[*place]).collect() };
    let views = session.look_at(&of(&in_bank))?;
    let scale = earlier.as_ref().map(|(_, earlier)| earlier);
    let nobody = BTreeSet::new();
    let mut trial = session.cross_validate(&views, &nobody, scale)?;
    let old_scores = earlier.as_ref().map_or(&[][..], |(known, _)| &known.record.scores);
    let standing = standing_out(session, &views, &trial, old_scores, scale)?;
    let doubtful: Vec<String> = standing.doubtful.iter().map(|part| name(pictures, in_bank[*part])).collect();
    if standing.too_many() && !force {
        return Err(LearnError::Outliers { parts: views.len(), named: Listed(doubtful) });
    }
    if let Some(smaller) = two_kinds(session, &views).filter(|_| !force) {
        let smaller = smaller.iter().map(|part| name(pictures, in_bank[*part])).collect();
        return Err(LearnError::TwoKinds { parts: views.len(), smaller: Listed(smaller) });
    }
    let banks = session.banks(&views, earlier.as_ref().map(|(known, earlier)| (known.parts, earlier)))?;
    let mut looks: Vec<_> = views.iter().map(|view| view.look).collect();
    // Further parts are held out from the final bank itself.
    for &place in &rest {
        let view = session.look_at(&of(&[place]))?;
        trial.scores.extend(session.scores(&view, &banks, &trial.shares)?);
        looks.extend(view.iter().map(|view| view.look));
    }
    Ok(LearningRun {
        new_parts: pictures.len(),
        pictures: pictures.iter().map(|picture| record::name(&picture.pixels)).collect(),
        banks,
        trial,
        looks,
        doubtful,
        names: in_bank.iter().chain(&rest).map(|place| name(pictures, *place)).collect(),
        earlier: earlier.map(|(known, _)| known),
    })
}

fn name(pictures: &[Picture], place: usize) -> String {
    pictures[place].path.display().to_string()
}

/// The places of the parts that a bank is made from, evenly spread, and of the others.
fn spread_out(parts: usize) -> (Vec<usize>, Vec<usize>) {
    let count = parts.min(MOST_IN_BANK);
    let chosen: BTreeSet<usize> = (0..count).map(|turn| turn * parts / count).collect();
    let rest = (0..parts).filter(|place| !chosen.contains(place)).collect();
    (chosen.into_iter().collect(), rest)
}

/// The parts that stand out. Several defects of one kind hide each other, for the banks of most hold some of them: where any
/// part stands out, all are judged once more by banks without those that do.
fn standing_out(
    session: &Session,
    views: &[View],
    trial: &Trial,
    old_scores: &[f32],
    scale: Option<&Earlier>,
) -> Result<Outliers, LearnError> {
    let of = |scores: &[f32]| learning::outliers(&[scores, old_scores].concat()).among_first(scores.len());
    let first = of(&trial.scores);
    if first.doubtful.is_empty() || first.doubtful.len() * 2 > views.len() {
        return Ok(first);
    }
    let aside: BTreeSet<usize> = first.doubtful.iter().copied().collect();
    let again = session.cross_validate(views, &aside, scale)?;
    Ok(of(&again.scores))
}

/// The smaller of two kinds of parts, if there are two.
fn two_kinds(session: &Session, views: &[View]) -> Option<Vec<usize>> {
    let pooled: Vec<Vec<f32>> = views.iter().map(|view| view.pooled(session.shapes())).collect();
    let groups = learning::groups(&pooled)?;
    tracing::debug!(separation = groups.separation, smaller = groups.smaller.len(), "two groups of parts");
    let limit = if views.len() < MIN_PARTS_FOR_GROUPS { TWO_KINDS_OF_FEW } else { TWO_KINDS };
    (groups.separation > limit && groups.smaller.len() >= LEAST_GROUP).then_some(groups.smaller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_out_takes_all_of_few_and_some_of_many() {
        assert_eq!(spread_out(3), (vec![0, 1, 2], vec![]));
        let (chosen, rest) = spread_out(1000);
        assert_eq!((chosen.len(), rest.len()), (MOST_IN_BANK, 1000 - MOST_IN_BANK));
        assert_eq!((chosen[1], rest[0]), (2, 1));
        assert!(chosen.iter().all(|place| !rest.contains(place)));
    }
}
