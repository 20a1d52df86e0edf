//! `diad products`: what was learnt on this machine, and which of it is in use.

use std::fmt::Write;
use std::io;

use diad_core::name::ProductName;
use diad_engine::{Overlay, OverlayHeader};
use diad_publish::wire::Digest;
use serde_json::{Value, json};

use crate::chain::chain;
use crate::cli::ProductsArgs;
use crate::exit::Exit;
use crate::learnt::{Cuts, Site, SiteError, State, StoreError};
use crate::output::{self, decimal};
use crate::settings::Variable;

/// The products cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ProductsError {
    /// What was learnt cannot be read.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Standard output is gone.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl From<StoreError> for ProductsError {
    fn from(error: StoreError) -> Self {
        Self::Site(error.into())
    }
}

impl ProductsError {
    /// The exit code of this error, see docs/reference/exit-codes.md.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Site(error) => error.exit(),
            Self::Output(_) => Exit::Disk,
        }
    }
}

/// One product.
#[derive(Debug)]
struct ListedProduct {
    name: ProductName,
    now: State,
    /// Steps that can be taken back.
    steps: usize,
    banks: Vec<Bank>,
}

/// One bank that is kept.
#[derive(Debug)]
struct Bank {
    digest: Digest,
    bytes: u64,
    /// What it says of itself, or why it cannot be used.
    header: Result<OverlayHeader, String>,
}

/// Lists them.
///
/// # Errors
/// [`ProductsError`].
pub fn run(args: &ProductsArgs, variables: &[Variable]) -> Result<(), ProductsError> {
    let site = Site::of(args.config.as_deref(), variables)?;
    let mut names = site.store().products()?;
    // A bank that the thresholds name and that is not there must not go unseen.
    if let Some(set) = site.set()? {
        names.extend(set.banks().map(|(product, _)| product.clone()));
    }
    names.sort();
    names.dedup();
    let mut products = Vec::new();
    for name in names {
        let shelf = site.store().shelf(&name);
        let mut banks = Vec::new();
        for kept in shelf.kept()? {
            let want = diad_engine::Digest::from_bytes(kept.digest.to_bytes());
            let header = Overlay::open(&shelf.path(kept.digest), Some(want)).map(|overlay| overlay.header().clone());
            let header = header.map_err(|error| chain(&error));
            banks.push(Bank { digest: kept.digest, bytes: kept.bytes, header });
        }
        let created = |bank: &Bank| bank.header.as_ref().map_or(String::new(), |header| header.created_at.clone());
        banks.sort_by_key(|bank| std::cmp::Reverse(created(bank)));
        let current = site.current(&name)?;
        products.push(ListedProduct { name, now: current.now, steps: current.previous.len(), banks });
    }
    let text = if args.json { json(&products) } else { text(&products, &site) };
    output::print(&text)?;
    Ok(())
}

impl ListedProduct {
    /// The bank that is in use and not kept here.
    fn missing(&self) -> Option<Digest> {
        self.now.bank.filter(|bank| !self.banks.iter().any(|kept| kept.digest == *bank))
    }
}

fn text(products: &[ListedProduct], site: &Site) -> String {
    if products.is_empty() {
        let root = site.store().root().display();
        return format!("no product was learnt here ({root}); `diad learn --product NAME GOOD_DIR` learns one\n");
    }
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for product in products {
        let by = product.now.bank.map_or_else(|| "the model alone".to_owned(), |bank| bank.to_string());
        let cuts = product.now.cuts.as_ref();
        let cuts = cuts.map_or_else(String::new, |c| format!(", review {}, reject {}", c.review, c.reject));
        let _ = writeln!(text, "{}: judged by {by}{cuts}", product.name);
        if let Some(bank) = product.missing() {
            let _ = writeln!(
                text,
                "  {bank}  NOT HERE: learn the product again, or `diad unlearn --product {}`",
                product.name
            );
        }
        for bank in &product.banks {
            let used = if product.now.bank == Some(bank.digest) { "*" } else { " " };
            let _ = match &bank.header {
                Ok(header) => {
                    let model = header.model.as_deref().unwrap_or("any").get(..19).unwrap_or("any").to_owned();
                    let on: Vec<&str> = header.foundations.iter().map(|mark| mark.name.as_str()).collect();
                    let (parts, at) = (header.parts, header.created_at.get(..16).unwrap_or(&header.created_at));
                    let kib = bank.bytes.div_ceil(1024);
                    writeln!(
                        text,
                        "  {used} {}  {at}  {parts} parts, {}, model {model}, {kib} KiB",
                        bank.digest,
                        on.join(" + "),
                    )
                }
                Err(reason) => writeln!(text, "  {used} {}  CANNOT BE USED: {reason}", bank.digest),
            };
        }
    }
    text
}

fn json(products: &[ListedProduct]) -> String {
    let name = |bank: Digest| format!("sha256:{}", bank.hex());
    let cuts = |cuts: &Cuts| json!({ "review": decimal(cuts.review.get()), "reject": decimal(cuts.reject.get()) });
    let bank = |bank: &Bank| -> Value {
        let mut value = json!({ "bank": name(bank.digest), "bytes": bank.bytes });
        match &bank.header {
            Ok(header) => {
                value["parts"] = header.parts.into();
                value["created_at"] = header.created_at.as_str().into();
                value["model"] = header.model.as_deref().into();
                value["source"] = header.source.as_str().into();
                value["foundations"] = header.foundations.iter().map(|mark| mark.name.as_str()).collect();
            }
            Err(reason) => value["error"] = reason.as_str().into(),
        }
        value
    };
    let products: Vec<Value> = products
        .iter()
        .map(|product| {
            json!({
                "product": product.name.as_str(),
                "bank": product.now.bank.map(name),
                "bank_missing": product.missing().is_some(),
                "cuts": product.now.cuts.as_ref().map(cuts),
                "steps": product.steps,
                "banks": product.banks.iter().map(bank).collect::<Vec<_>>(),
            })
        })
        .collect();
    format!("{:#}\n", json!({ "products": products }))
}
