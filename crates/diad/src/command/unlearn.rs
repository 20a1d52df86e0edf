//! `diad unlearn`: takes back what was learnt of a product, one step or all of it.

use std::io;
use std::time::SystemTime;

use diad_core::name::ProductName;
use diad_engine::{Overlay, OverlayError};
use diad_ledger::Moment;
use diad_publish::wire::Digest;
use serde_json::json;

use crate::cli::UnlearnArgs;
use crate::exit::Exit;
use crate::learnt::{Current, Shelf, Site, SiteError, State, StoreError};
use crate::output;
use crate::settings::Variable;

/// Nothing was taken back.
#[derive(Debug, thiserror::Error)]
pub enum UnlearnError {
    /// The product is judged by the model alone, and nothing of it is kept.
    #[error("{product} was not learnt here; `diad products` lists what was (with --config, that of a station)")]
    Unknown {
        /// The product.
        product: ProductName,
    },
    /// There is no step before this one on record.
    #[error("no step before this one is on record for {product}; without --undo it goes back to the model alone")]
    NoStep {
        /// The product.
        product: ProductName,
    },
    /// No bank, or more than one, has such a digest.
    #[error("{count} kept banks of {product} begin with {digest}; `diad products` lists them")]
    Digest {
        /// The product.
        product: ProductName,
        /// What was asked for.
        digest: String,
        /// How many there are.
        count: usize,
    },
    /// The bank is kept, and the cut-offs for its scores are not on record.
    #[error("the cut-offs that belong to bank {digest} are not on record; learn {product} again")]
    NoCuts {
        /// The product.
        product: ProductName,
        /// The bank.
        digest: String,
    },
    /// The bank to go back to cannot be used.
    #[error("the bank to go back to cannot be used")]
    Overlay(#[source] OverlayError),
    /// How the product is judged cannot be found out or changed.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Standard output is gone.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl From<StoreError> for UnlearnError {
    fn from(error: StoreError) -> Self {
        Self::Site(error.into())
    }
}

impl UnlearnError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Unknown { .. } | Self::NoStep { .. } | Self::Digest { .. } => Exit::Usage,
            Self::NoCuts { .. } | Self::Overlay(_) => Exit::BadData,
            Self::Site(error) => error.exit(),
            Self::Output(_) => Exit::Disk,
        }
    }
}

/// Takes it back, prints what changed, and deletes what is no longer in use if told to.
///
/// # Errors
/// [`UnlearnError`]; nothing is changed then, but for [`SiteError::Pointer`].
pub fn run(args: &UnlearnArgs, variables: &[Variable]) -> Result<(), UnlearnError> {
    let UnlearnArgs { product, config, undo, to, purge, dry_run, json } = args;
    let site = Site::of(config.as_deref(), variables)?;
    let shelf = site.store().shelf(product);
    let mut current = site.current(product)?;
    if !shelf.folder().is_dir() && current.now.bank.is_none() {
        return Err(UnlearnError::Unknown { product: product.clone() });
    }
    let _lock = shelf.lock()?;
    let before = current.now;
    if *undo && !current.go_back() {
        return Err(UnlearnError::NoStep { product: product.clone() });
    }
    match to {
        _ if *undo => {}
        Some(digits) => {
            let target = named(&shelf, product, &current, digits)?;
            current.go_on(target);
        }
        None if before.bank.is_some() => {
            let target = current.last_with(None).unwrap_or_default();
            current.go_on(target);
        }
        None => {}
    }
    let now = current.now;
    if let Some(bank) = now.bank {
        let digest = diad_engine::Digest::from_bytes(bank.to_bytes());
        Overlay::open(&shelf.path(bank), Some(digest)).map_err(UnlearnError::Overlay)?;
    }
    let purged = if *purge { forget(&shelf, &mut current)? } else { Vec::new() };
    let date = Moment::from(SystemTime::now()).to_string();
    let note = format!("{} diad unlearn: {product} is judged by {}", date.get(..10).unwrap_or_default(), words(&now));
    let mut diff = String::new();
    if now != before || *purge {
        let thresholds = if now == before { site.without_thresholds() } else { site.clone() };
        let plan = thresholds.plan(product, current, &note)?;
        plan.diff().clone_into(&mut diff);
        if !dry_run {
            plan.draft(&shelf)?.take()?;
            // The pointer no longer names them, and who judges by one has it in memory.
            for digest in &purged {
                shelf.remove(*digest)?;
            }
        }
    }
    let text = if *json {
        let name = |bank: Option<Digest>| bank.map(|bank| format!("sha256:{}", bank.hex()));
        let document = json!({
            "product": product.as_str(),
            "bank_before": name(before.bank),
            "bank": name(now.bank),
            "purged": purged.iter().map(|bank| name(Some(*bank))).collect::<Vec<_>>(),
            "dry_run": dry_run,
            "diff": diff,
        });
        format!("{document:#}\n")
    } else {
        report(product, &before, &now, &purged, &diff, *dry_run)
    };
    output::print(&text)?;
    Ok(())
}

/// The state that judged by the bank whose digest begins with these digits.
fn named(shelf: &Shelf, product: &ProductName, current: &Current, digits: &str) -> Result<State, UnlearnError> {
    let wanted = digits.strip_prefix("sha256:").unwrap_or(digits).to_lowercase();
    let mut kept: Vec<Digest> = shelf.kept()?.into_iter().map(|kept| kept.digest).collect();
    kept.retain(|digest| digest.hex().starts_with(&wanted));
    let [digest] = kept[..] else {
        return Err(UnlearnError::Digest { product: product.clone(), digest: digits.to_owned(), count: kept.len() });
    };
    let state = if current.now.bank == Some(digest) { Some(current.now) } else { current.last_with(Some(digest)) };
    state.ok_or_else(|| UnlearnError::NoCuts { product: product.clone(), digest: digest.to_string() })
}

/// Takes every bank that is not in use out of the pointer. Gives their names.
fn forget(shelf: &Shelf, current: &mut Current) -> Result<Vec<Digest>, StoreError> {
    let in_use = current.now.bank;
    current.previous.retain(|state| state.bank.is_none() || state.bank == in_use);
    let kept = shelf.kept()?.into_iter().map(|kept| kept.digest);
    Ok(kept.filter(|digest| Some(*digest) != in_use).collect())
}

fn words(state: &State) -> String {
    let by = state.bank.map_or_else(|| "the model alone".to_owned(), |bank| format!("bank sha256:{}", bank.hex()));
    match &state.cuts {
        Some(cuts) => format!("{by}, review {}, reject {}", cuts.review, cuts.reject),
        None if state.bank.is_none() => format!("{by}, with the cut-offs of the default"),
        None => by,
    }
}

fn report(product: &ProductName, before: &State, now: &State, purged: &[Digest], diff: &str, dry_run: bool) -> String {
    use std::fmt::Write;
    let mut text = if before == now {
        format!("{product} is judged by {} as before\n", words(now))
    } else {
        format!("{product} was judged by {}\n{product} is judged by {}\n", words(before), words(now))
    };
    // Writing to a `String` cannot fail.
    for digest in purged {
        let _ = writeln!(text, "deleted bank {digest}");
    }
    if !diff.is_empty() {
        let _ = write!(text, "\n{diff}");
    }
    if dry_run {
        text.push_str("\nnothing is written: --dry-run\n");
    }
    text
}
