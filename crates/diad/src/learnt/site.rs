//! For whom a product is learnt: a station, which finds cut-offs and bank in its thresholds file, or the user of this
//! machine.

use std::path::{Path, PathBuf};

use diad_core::name::ProductName;
use similar::TextDiff;

use super::{Current, Cuts, Shelf, State, Store, StoreError};
use crate::exit::Exit;
use crate::files::{self, Draft, FileError};
use crate::settings::{self, Variable};
use crate::thresholds::ThresholdSet;
use crate::thresholds::edit::{self, BankEdit, EditError, with_cuts, without_product, without_reference};
use crate::yaml::{Fault, lines, text};

/// Where products are kept, and the thresholds file that names their banks.
#[derive(Debug, Clone)]
pub struct Site {
    store: Store,
    /// None: the user's, who has no thresholds.
    thresholds: Option<PathBuf>,
}

/// How a product is judged cannot be found out or changed.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The settings are wrong; every fault is a line.
    #[error("read the settings\n{}", lines(.0))]
    Settings(Vec<Fault>),
    /// The thresholds are not valid; every fault is a line.
    #[error("read the thresholds\n{}", lines(.0))]
    Thresholds(Vec<Fault>),
    /// The thresholds cannot be edited.
    #[error("edit the thresholds")]
    Edit(#[from] EditError),
    /// The thresholds cannot be written.
    #[error(
        "the thresholds stay as they were, and so does what the station judges by; run this as a user who may write there"
    )]
    Write(#[source] FileError),
    /// What was learnt cannot be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pointer could not follow.
    #[error(
        "the thresholds are written and the station takes them over, but `current.json`, which eval, inspect and --undo read, is not"
    )]
    Pointer(#[source] FileError),
}

impl SiteError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::Thresholds(_) | Self::Edit(_) => Exit::Settings,
            Self::Store(error) => error.exit(),
            Self::Write(_) | Self::Pointer(_) => Exit::Disk,
        }
    }
}

/// What becomes of a product, worked out.
#[derive(Debug)]
pub struct Plan {
    thresholds: Option<Rewritten>,
    current: Current,
}

/// A thresholds file as it will be.
#[derive(Debug)]
struct Rewritten {
    file: PathBuf,
    text: String,
    diff: String,
}

/// A [`Plan`] on the disk, and in nobody's way until it is [taken](Step::take).
#[derive(Debug)]
pub struct Step {
    thresholds: Option<Draft>,
    current: Draft,
}

impl Site {
    /// That of a station's settings, or the user's.
    ///
    /// # Errors
    /// [`SiteError::Settings`], [`SiteError::Store`].
    pub fn of(config: Option<&Path>, variables: &[Variable]) -> Result<Self, SiteError> {
        let Some(file) = config else {
            return Ok(Self { store: Store::of_user(variables)?, thresholds: None });
        };
        let settings = settings::load(file, variables).map_err(SiteError::Settings)?;
        let store = Store::beside(&settings.ledger().path);
        Ok(Self { store, thresholds: Some(settings.thresholds().to_owned()) })
    }

    /// The same, where the thresholds file is left alone.
    #[must_use]
    pub fn without_thresholds(&self) -> Self {
        Self { store: self.store.clone(), thresholds: None }
    }

    /// Everything that was learnt.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The thresholds file; none where there is no station.
    #[must_use]
    pub fn thresholds(&self) -> Option<&Path> {
        self.thresholds.as_deref()
    }

    /// The thresholds as they are now; none where there is no station.
    ///
    /// # Errors
    /// [`SiteError::Thresholds`].
    pub fn set(&self) -> Result<Option<ThresholdSet>, SiteError> {
        self.thresholds.as_deref().map(ThresholdSet::load).transpose().map_err(SiteError::Thresholds)
    }

    /// How a product is judged now: as the thresholds file says, else as the pointer does.
    ///
    /// # Errors
    /// [`SiteError::Thresholds`], [`SiteError::Store`].
    pub fn current(&self, product: &ProductName) -> Result<Current, SiteError> {
        let mut current = self.store.shelf(product).current()?.unwrap_or_default();
        if let Some(set) = self.set()? {
            current.now = state_of(&set, product);
        }
        Ok(current)
    }

    /// What a step to `current.now` would write, with a dated note in the thresholds file. Writes nothing.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn plan(&self, product: &ProductName, current: Current, note: &str) -> Result<Plan, SiteError> {
        let thresholds = match &self.thresholds {
            None => None,
            Some(file) => {
                let name = file.to_string_lossy();
                let before = text::load(file).map_err(|fault| SiteError::Thresholds(vec![fault]))?;
                let after = rewritten(&before, &name, product, &current.now, note)?;
                let diff = TextDiff::from_lines(&before, &after);
                let diff = diff.unified_diff().context_radius(1).header(&name, &name).to_string();
                Some(Rewritten { file: file.clone(), text: after, diff })
            }
        };
        Ok(Plan { thresholds, current })
    }
}

impl Plan {
    /// What would change in the thresholds file; empty where there is none.
    #[must_use]
    pub fn diff(&self) -> &str {
        self.thresholds.as_ref().map_or("", |rewritten| &rewritten.diff)
    }

    /// Writes it beside its place, onto the disk: [`Step::take`] only gives names. A full disk shows itself here, and changes
    /// nothing.
    ///
    /// # Errors
    /// [`SiteError::Write`], [`SiteError::Store`].
    pub fn draft(&self, shelf: &Shelf) -> Result<Step, SiteError> {
        let thresholds = self
            .thresholds
            .as_ref()
            .map(|Rewritten { file, text, .. }| files::draft_replacement(file, text).map_err(SiteError::Write));
        Ok(Step { thresholds: thresholds.transpose()?, current: shelf.draft_current(&self.current)? })
    }
}

impl Step {
    /// Does it: a running station takes cut-offs and bank over together.
    ///
    /// # Errors
    /// [`SiteError::Write`]: nothing has changed. [`SiteError::Pointer`]: the thresholds have.
    pub fn take(self) -> Result<(), SiteError> {
        if let Some(draft) = self.thresholds {
            draft.keep().map_err(SiteError::Write)?;
        }
        self.current.keep().map_err(SiteError::Pointer)
    }
}

/// What a thresholds file says of a product.
fn state_of(set: &ThresholdSet, product: &ProductName) -> State {
    let bank = set.bank(Some(product)).map(|bank| bank.digest);
    let cuts = set.products().any(|known| known == product).then(|| {
        let cuts = set.for_product(Some(product));
        Cuts { review: cuts.review(), reject: cuts.reject(), reference: set.reference(Some(product)) }
    });
    State { bank, cuts }
}

/// The thresholds with another state of a product.
fn rewritten(text: &str, file: &str, product: &ProductName, state: &State, note: &str) -> Result<String, SiteError> {
    let Some(Cuts { review, reject, reference }) = state.cuts else {
        return without_entry(text, file, product, note);
    };
    let bank = state.bank.map_or(BankEdit::Remove, BankEdit::Set);
    let text = without_reference(text, file, product)?;
    Ok(with_cuts(&text, file, &[(product.clone(), edit::Cuts { review, reject, reference, bank })].into(), note)?)
}

/// The thresholds without cut-offs of a product, as before it was learnt: without its entry, unless somebody has said more
/// in it since then. That stays, with the cut-offs of the default.
fn without_entry(text: &str, file: &str, product: &ProductName, note: &str) -> Result<String, SiteError> {
    let set = ThresholdSet::read(text, file).map_err(SiteError::Thresholds)?;
    let (own, default) = (set.for_product(Some(product)), set.for_product(None));
    if set.mask(Some(product)) == set.mask(None) && own.min_area_px() == default.min_area_px() {
        return Ok(without_product(text, file, product, note)?);
    }
    let text = without_reference(text, file, product)?;
    let cuts = edit::Cuts {
        review: default.review(),
        reject: default.reject(),
        reference: diad_core::drift::Reference::default(),
        bank: BankEdit::Remove,
    };
    Ok(with_cuts(&text, file, &[(product.clone(), cuts)].into(), note)?)
}
