//! What learning a product from good parts alone has to decide before anything is judged by it: which parts are judged by
//! a bank that has not seen them, how a map of good parts spreads, and which parts do not belong to the others.
//!
//! Cut-offs come from parts that were held out, for a part scores low against a bank that holds its own patches.
//!
//! Source of the procedure: cross-validation as in Stone 1974 (J. R. Stat. Soc. B 36, 111–147); moments merged as in
//! Chan, Golub & LeVeque 1983 (Am. Stat. 37, 242–247).

mod folds;
mod groups;
mod outliers;
mod rows;
mod scorer;
mod spread;
mod weights;

pub use folds::Folds;
pub use groups::{Groups, groups};
pub use outliers::{DOUBTFUL_AT_MOST, EXTREME_OUTLIER_SPREADS, OUTLIER_SPREADS, Outliers, far_above, outliers};
pub use rows::{bank, draw, take_good};
pub use scorer::{Scorer, ScorerError};
pub use spread::Moments;
pub use weights::{Latent, Trained, weights};
