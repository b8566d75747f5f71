//! What rollups are made of: counts by bucket of time and by values of dimensions, which merge.
//!
//! A [`family`] says what is kept together by which dimensions. A [`grid`] gathers cells, from rows by the [`kernel`], or from
//! other cells; a [`section`] is a grid that changes no more, sorted and storable. [`states`] are what cells hold, [`bins`]
//! one of them; a [`dictionary`] gives values their codes.

pub mod bins;
pub mod dictionary;
pub mod family;
pub mod grid;
pub mod kernel;
pub mod section;
pub mod states;
