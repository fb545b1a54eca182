pub mod campaign;
pub mod comment;
