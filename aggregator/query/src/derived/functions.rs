//! Functions that only the statements in this folder use.
//!
//! `stamped(time, text) → bytes` puts a text behind its time so that bytes sort as times do, then as texts: the least of
//! a group is the earliest text that is not null, the greatest the latest, and ties are decided by the texts. `text_of`
//! takes the time off again.

use std::sync::Arc;

use ridealong_engine::datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Date32Array, StringArray, StringBuilder,
};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use ridealong_engine::datafusion::common::{DataFusionError, Result};
use ridealong_engine::datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use uuid::Uuid;

const STAMP_BYTES: usize = 8;
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
/// 1970-01-01 was a Thursday, three days after a Monday.
const DAYS_AFTER_MONDAY: i64 = 3;

pub(super) fn all() -> Vec<ScalarUDF> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    vec![
        function("stamped", vec![time.clone(), DataType::Utf8], DataType::Binary, stamped),
        function("text_of", vec![DataType::Binary], DataType::Utf8, text_of),
        function("week_of", vec![time.clone()], DataType::Date32, week_of),
        function("session_id_of", vec![DataType::Utf8, DataType::Utf8, time], DataType::Utf8, session_id_of),
    ]
}

fn function(name: &str, takes: Vec<DataType>, gives: DataType, of: fn(&[ArrayRef]) -> Result<ArrayRef>) -> ScalarUDF {
    let on_values =
        move |values: &[ColumnarValue]| of(&ColumnarValue::values_to_arrays(values)?).map(ColumnarValue::Array);
    create_udf(name, takes, gives, Volatility::Immutable, Arc::new(on_values))
}

fn stamped(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (times, texts) = (arguments[0].as_primitive::<TimestampMicrosecondType>(), arguments[1].as_string::<i32>());
    let mut bytes = BinaryBuilder::with_capacity(texts.len(), texts.value_data().len() + STAMP_BYTES * texts.len());
    let mut one = Vec::new();
    for (time, text) in times.iter().zip(texts) {
        match time.zip(text) {
            Some((time, text)) => {
                one.clear();
                // The sign turned, so that times before 1970 sort before those after.
                one.extend((time as u64 ^ (1 << 63)).to_be_bytes());
                one.extend(text.as_bytes());
                bytes.append_value(&one);
            }
            None => bytes.append_null(),
        }
    }
    Ok(Arc::new(bytes.finish()))
}

fn text_of(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let stamped = arguments[0].as_binary::<i32>();
    let mut texts = StringBuilder::with_capacity(stamped.len(), stamped.value_data().len());
    for bytes in stamped {
        let text = bytes.map(|bytes| std::str::from_utf8(bytes.get(STAMP_BYTES..).unwrap_or_default()));
        texts.append_option(text.transpose().map_err(|error| DataFusionError::External(Box::new(error)))?);
    }
    Ok(Arc::new(texts.finish()))
}

/// The Monday of a time's ISO week.
fn week_of(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let monday = |time: i64| {
        let days = time.div_euclid(DAY_US);
        (days - (days + DAYS_AFTER_MONDAY).rem_euclid(7)) as i32
    };
    let times = arguments[0].as_primitive::<TimestampMicrosecondType>();
    Ok(Arc::new(times.iter().map(|time| time.map(monday)).collect::<Date32Array>()))
}

/// The id of a session to which none was given: the UUIDv5 of whose it is and when it began.
fn session_id_of(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (users, anonymous) = (arguments[0].as_string::<i32>(), arguments[1].as_string::<i32>());
    let starts = arguments[2].as_primitive::<TimestampMicrosecondType>();
    let ids = users.iter().zip(anonymous).zip(starts.iter()).map(|((user, anonymous), start)| {
        let (kind, id) = match (user, anonymous) {
            (Some(user), _) => ("user", user),
            (None, anonymous) => ("anonymous", anonymous?),
        };
        let name = format!("ridealong:session:{kind}:{}:{id}", start?);
        Some(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string())
    });
    Ok(Arc::new(ids.collect::<StringArray>()))
}
