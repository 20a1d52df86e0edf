//! Which products a station has names for, and what it makes of a part of any other.
//!
//! A name is known where the thresholds or the model have it. Where neither names any product, there is nothing that a name
//! could be mistaken for, and the default judges them all.

use std::collections::BTreeSet;
use std::sync::Arc;

use diad_core::event::Reason;
use diad_core::name::ProductName;

use crate::thresholds::ThresholdSet;

/// How alike an unknown and a known name must be for a hint (Jaro-Winkler, 0 to 1).
const PRODUCT_HINT_SIMILARITY: f64 = 0.8;

/// What a part is whose product is not known, `on_unknown_product` in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// `UNJUDGED(product)`.
    Unjudged,
    /// Judged by the `default` of the thresholds.
    Default,
}

/// The product that parts are of from now on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum InForce {
    /// None has been named.
    #[default]
    Unnamed,
    /// The one that was named last.
    Named(ProductName),
    /// Not known: the last change-over could not be read, for this reason.
    Unclear(Arc<str>),
}

impl InForce {
    /// The product, if it is known.
    #[must_use]
    pub const fn product(&self) -> Option<&ProductName> {
        match self {
            Self::Named(product) => Some(product),
            Self::Unnamed | Self::Unclear(_) => None,
        }
    }

    /// Why a part of it cannot be judged, if it cannot.
    #[must_use]
    pub const fn refusal(&self) -> Option<Reason> {
        match self {
            Self::Unclear(_) => Some(Reason::Product),
            Self::Unnamed | Self::Named(_) => None,
        }
    }
}

/// What is to be said of the product in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// Parts are not judged.
    Fault(String),
    /// Parts are judged by the default.
    Notice(String),
}

/// The names of a model's products, and what is made of others. Clones share them.
#[derive(Debug, Clone)]
pub struct Products {
    model: Arc<BTreeSet<ProductName>>,
    on_unknown: OnUnknown,
}

impl Products {
    /// Takes the products of a model's manifest. A name that no message can carry is left out.
    #[must_use]
    pub fn new(model: &[String], on_unknown: OnUnknown) -> Self {
        let model = model.iter().filter_map(|name| ProductName::try_new(name).ok()).collect();
        Self { model: Arc::new(model), on_unknown }
    }

    /// Whether a part of this product is judged. One without a product is: by the default.
    #[must_use]
    pub fn judges(&self, set: &ThresholdSet, product: Option<&ProductName>) -> bool {
        // Without thresholds of their own, all products have the same: a wrong name leads to no looser ones.
        let alike = set.products().next().is_none();
        alike || self.on_unknown == OnUnknown::Default || product.is_none_or(|product| self.knows(Some(set), product))
    }

    fn knows(&self, set: Option<&ThresholdSet>, product: &ProductName) -> bool {
        let nobody = self.model.is_empty() && set.is_none_or(|set| set.products().next().is_none());
        nobody || self.model.contains(product) || set.is_some_and(|set| set.names(product))
    }

    /// What to say of a product that neither thresholds, if there are any, nor the model name, with the nearest name that
    /// they have; none of one that they do.
    #[must_use]
    pub fn stranger(&self, set: Option<&ThresholdSet>, product: &ProductName) -> Option<String> {
        if self.knows(set, product) {
            return None;
        }
        let known = set.iter().flat_map(|set| set.products()).chain(self.model.iter());
        let hint = hint(product.as_str(), known.map(ProductName::as_str));
        let by =
            if set.is_some() { "named neither by the thresholds nor by the model" } else { "not named by the model" };
        Some(format!("product {product} is {by}{hint}"))
    }

    /// What is to be said while this product is in force. `unnamed_parts`: whether a camera of the station has parts whose
    /// product only the plant can name.
    #[must_use]
    pub fn remark(&self, set: &ThresholdSet, in_force: &InForce, unnamed_parts: bool) -> Option<Remark> {
        match in_force {
            InForce::Named(product) => {
                let stranger = self.stranger(Some(set), product)?;
                Some(if self.judges(set, Some(product)) {
                    Remark::Notice(format!("{stranger}; its parts are judged by the default"))
                } else {
                    Remark::Fault(format!("{stranger}; its parts are UNJUDGED(product)"))
                })
            }
            InForce::Unclear(why) => Some(Remark::Fault(format!(
                "parts are UNJUDGED(product) until the next change-over that can be read; the last one could not: {why}"
            ))),
            InForce::Unnamed => match set.products().count() {
                named if named > 0 && unnamed_parts => Some(Remark::Notice(format!(
                    "the plant has named none yet; parts are judged by the default of thresholds that name {named} products"
                ))),
                _ => None,
            },
        }
    }
}

/// A question that leads from an unknown name to the nearest known one; empty where none is near.
#[must_use]
pub fn hint<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> String {
    let folded = unknown.to_lowercase();
    let likeness = |known: &str| {
        if known.to_lowercase() == folded { 2.0 } else { strsim::jaro_winkler(&folded, &known.to_lowercase()) }
    };
    let nearest = known.map(|known| (likeness(known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((2.0.., known)) => format!(", did you mean {known}? They differ in case alone"),
        Some((PRODUCT_HINT_SIMILARITY.., known)) => format!(", did you mean {known}?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = "default: { review: 0.06, reject: 0.075 }\nproducts: { washer: { reject: 0.07 }, gear: {} }\n";
    const DEFAULT_ALONE: &str = "default: { review: 0.06, reject: 0.075 }\n";

    fn set(text: &str) -> ThresholdSet {
        ThresholdSet::read(text, "thresholds.yaml").unwrap()
    }

    fn product(name: &str) -> ProductName {
        ProductName::try_new(name).unwrap()
    }

    fn products(model: &[&str], on_unknown: OnUnknown) -> Products {
        let model: Vec<String> = model.iter().map(|name| (*name).to_owned()).collect();
        Products::new(&model, on_unknown)
    }

    #[test]
    fn judges_known_products_and_others_only_by_order() {
        use OnUnknown::{Default, Unjudged};
        for (text, model, on_unknown, name, want) in [
            (NAMED, &["cap"][..], Unjudged, Some("washer"), true),
            (NAMED, &["cap"], Unjudged, Some("cap"), true),
            (NAMED, &["cap"], Unjudged, Some("wascher"), false),
            (NAMED, &["cap"], Unjudged, Some("Washer"), false),
            (NAMED, &["cap"], Default, Some("wascher"), true),
            (NAMED, &["cap"], Unjudged, None, true),
            (DEFAULT_ALONE, &["cap"], Unjudged, Some("nut"), true),
            (DEFAULT_ALONE, &[], Unjudged, Some("nut"), true),
        ] {
            let name = name.map(product);
            assert_eq!(products(model, on_unknown).judges(&set(text), name.as_ref()), want, "{name:?}");
        }
    }

    #[test]
    fn stranger_is_told_with_the_nearest_name() {
        let products = products(&["cap"], OnUnknown::Unjudged);
        let told = |name| products.stranger(Some(&set(NAMED)), &product(name));
        let begin = |name| format!("product {name} is named neither by the thresholds nor by the model");
        assert_eq!(told("wascher").unwrap(), format!("{}, did you mean washer?", begin("wascher")));
        assert_eq!(
            told("Washer").unwrap(),
            format!("{}, did you mean washer? They differ in case alone", begin("Washer"))
        );
        assert_eq!(told("4711").unwrap(), begin("4711"));
        assert_eq!((told("cap"), told("gear")), (None, None));
        let without = products.stranger(None, &product("Cap"));
        assert_eq!(
            without.as_deref(),
            Some("product Cap is not named by the model, did you mean cap? They differ in case alone")
        );
    }

    #[test]
    fn remark_names_what_the_product_in_force_does_to_parts() {
        let named = |name| InForce::Named(product(name));
        let told = |on_unknown, text, in_force: &InForce, unnamed| {
            products(&["cap"], on_unknown).remark(&set(text), in_force, unnamed)
        };
        let fault = |remark| match remark {
            Some(Remark::Fault(detail)) => detail,
            other => panic!("{other:?}"),
        };
        let notice = |remark| match remark {
            Some(Remark::Notice(detail)) => detail,
            other => panic!("{other:?}"),
        };
        use OnUnknown::{Default, Unjudged};
        assert_eq!(told(Unjudged, NAMED, &named("washer"), true), None);
        assert!(fault(told(Unjudged, NAMED, &named("nut"), true)).ends_with("; its parts are UNJUDGED(product)"));
        assert!(notice(told(Default, NAMED, &named("nut"), true)).ends_with("; its parts are judged by the default"));
        assert!(notice(told(Unjudged, DEFAULT_ALONE, &named("nut"), true)).contains("judged by the default"));
        assert!(fault(told(Default, NAMED, &InForce::Unclear("a NUL".into()), true)).ends_with("could not: a NUL"));
        assert!(notice(told(Unjudged, NAMED, &InForce::Unnamed, true)).contains("that name 2 products"));
        assert_eq!(told(Unjudged, NAMED, &InForce::Unnamed, false), None);
        assert_eq!(told(Unjudged, DEFAULT_ALONE, &InForce::Unnamed, true), None);
    }
}
