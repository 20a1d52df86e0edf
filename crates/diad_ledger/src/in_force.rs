//! The product in force: the change-over that a station has acknowledged last. A message that is acknowledged does not come
//! again, so it must outlive the process.

use diad_core::name::{LineName, ProductName, StationName};
use rusqlite::{OptionalExtension, params};

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::moment::Moment;
use crate::reader::Reader;
use crate::seal::IN_FORCE;

impl Ledger {
    /// Keeps, durably, that `product` is in force at a station since `since`, or that it is not known which. It replaces the
    /// one before.
    ///
    /// # Errors
    /// [`LedgerError`]; the one before stays then.
    pub fn keep_product(
        &mut self,
        line: &LineName,
        station: &StationName,
        product: Option<&ProductName>,
        since: Moment,
    ) -> Result<(), LedgerError> {
        let path = self.path().to_path_buf();
        let change = self.change()?;
        let failed = || LedgerError::of(&path, "write the product in force");
        change
            .execute(
                &format!("INSERT OR REPLACE INTO {} VALUES ({})", IN_FORCE.target(), IN_FORCE.values()),
                params![line.as_str(), station.as_str(), product.map_or("", ProductName::as_str), since.micros()],
            )
            .map_err(failed())?;
        change.commit().map_err(failed())
    }
}

impl Reader {
    /// What [`Ledger::keep_product`] kept last for a station, and since when: a product, or `None` for one that is not known.
    /// `None` if it never kept anything.
    ///
    /// # Errors
    /// [`LedgerError`]; [`LedgerError::DamagedRow`] where it does not read as it was written.
    pub fn product_in_force(
        &self,
        line: &LineName,
        station: &StationName,
    ) -> Result<Option<(Option<ProductName>, Moment)>, LedgerError> {
        self.expect_sealed(IN_FORCE)?;
        let sql = "SELECT product, since_us FROM in_force WHERE line = ?1 AND station = ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
        let found = self.connection().query_row(sql, params![line.as_str(), station.as_str()], read).optional();
        let found = found.map_err(LedgerError::of(self.path(), "read the product in force"))?;
        Ok(found.map(|(name, since)| (ProductName::try_new(&name).ok(), Moment::from_micros(since))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Place, context};

    #[test]
    fn product_in_force_is_the_last_one_kept_also_after_a_restart() {
        let place = Place::new();
        let (line, station) = (context().line, context().station);
        let mut ledger = place.open();
        assert_eq!(ledger.read().product_in_force(&line, &station).unwrap(), None);
        for (name, since) in [("gear", 1), ("washer", 2)] {
            let product = ProductName::try_new(name).unwrap();
            ledger.keep_product(&line, &station, Some(&product), Moment::from_micros(since)).unwrap();
        }
        drop(ledger);
        let (product, since) = place.open().read().product_in_force(&line, &station).unwrap().unwrap();
        assert_eq!((product.unwrap().as_str(), since.micros()), ("washer", 2));
        place.open().keep_product(&line, &station, None, Moment::from_micros(3)).unwrap();
        let unknown = place.open().read().product_in_force(&line, &station).unwrap();
        assert_eq!(unknown, Some((None, Moment::from_micros(3))));
        let other = StationName::try_new("S2").unwrap();
        assert_eq!(place.open().read().product_in_force(&line, &other).unwrap(), None);
    }
}
