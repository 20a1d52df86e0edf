//! The way from a YAML text to checked values, with every fault named by place and path.
//!
//! [`text`] reads a file, [`document`] turns the text into a [`config::Value`] and remembers in
//! [`Places`] where each value stands, [`reader`] takes typed values out of it and collects a [`Fault`]
//! for each one that is missing, unknown, of the wrong type or out of range. Nothing stops at the first
//! fault but broken syntax. Values keep their type as written: quoted `"5"` is text, plain `5` a number.

pub mod document;
pub mod fault;
pub mod reader;
mod rectangle;
pub mod text;

pub use document::{Document, parse};
pub use fault::{Fault, Mark, Place, Places, lines};
pub use reader::{Item, Report, Section, digest};
pub use rectangle::rectangle;
