//! `uuid_text(binary) → text`: an id of 16 bytes as the lower-case UUID that people see.

use std::sync::Arc;

use ridealong_engine::datafusion::arrow::array::{Array, AsArray, StringViewBuilder};
use ridealong_engine::datafusion::arrow::datatypes::DataType;
use ridealong_engine::datafusion::common::{Result, ScalarValue, exec_err};
use ridealong_engine::datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use uuid::Uuid;

const TEXT_BYTES: usize = 36;
/// Of texts that lie together.
const BLOCK_BYTES_MAX: usize = 1 << 20;

pub(crate) fn uuid_text() -> ScalarUDF {
    ScalarUDF::new_from_impl(UuidText { signature: Signature::exact(vec![DataType::Binary], Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UuidText {
    signature: Signature,
}

impl ScalarUDFImpl for UuidText {
    fn name(&self) -> &str {
        "uuid_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &arguments.args[..] {
            [ColumnarValue::Scalar(ScalarValue::Binary(bytes))] => {
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(bytes.as_deref().map(text_of).transpose()?)))
            }
            [ColumnarValue::Array(array)] => {
                let ids = array.as_binary::<i32>();
                let block = (TEXT_BYTES * ids.len()).clamp(1, BLOCK_BYTES_MAX);
                let mut texts = StringViewBuilder::with_capacity(ids.len()).with_fixed_block_size(block as u32);
                let mut buffer = Uuid::encode_buffer();
                for id in ids {
                    match id.map(uuid_of).transpose()? {
                        Some(uuid) => texts.append_value(uuid.hyphenated().encode_lower(&mut buffer)),
                        None => texts.append_null(),
                    }
                }
                Ok(ColumnarValue::Array(Arc::new(texts.finish())))
            }
            _ => exec_err!("uuid_text takes one binary value"),
        }
    }
}

fn text_of(bytes: &[u8]) -> Result<String> {
    uuid_of(bytes).map(|uuid| uuid.hyphenated().to_string())
}

fn uuid_of(bytes: &[u8]) -> Result<Uuid> {
    match Uuid::from_slice(bytes) {
        Ok(uuid) => Ok(uuid),
        Err(_) => exec_err!("an id has 16 bytes, this has {}", bytes.len()),
    }
}
