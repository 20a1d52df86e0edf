//! The rendered line: procedural parts with true defect masks, seeded.
