pub mod campaigns;
pub mod comments;
