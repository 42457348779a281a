//! What SQLite's errors mean to the store's callers.

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        match error {
            Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) => {
                StoreError::Corrupt(error.to_string())
            }
            _ => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => StoreError::Full,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    StoreError::Corrupt(error.to_string())
                }
                _ => StoreError::Unavailable(error.to_string()),
            },
        }
    }
}
