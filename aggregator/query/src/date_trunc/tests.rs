use proptest::prelude::*;
use ridealong_engine::datafusion::arrow::datatypes::Field;
use ridealong_engine::datafusion::common::ScalarValue;
use ridealong_engine::datafusion::common::config::ConfigOptions;

use super::*;

fn called(function: &ScalarUDF, part: &str, times: &ArrayRef) -> ArrayRef {
    let field = |kind: &DataType| Arc::new(Field::new("a", kind.clone(), true));
    let arguments = ScalarFunctionArgs {
        args: vec![ColumnarValue::Scalar(ScalarValue::from(part)), ColumnarValue::Array(Arc::clone(times))],
        arg_fields: vec![field(&DataType::Utf8), field(times.data_type())],
        number_rows: times.len(),
        return_field: field(times.data_type()),
        config_options: Arc::new(ConfigOptions::default()),
    };
    match function.invoke_with_args(arguments).expect("truncated") {
        ColumnarValue::Array(starts) => starts,
        ColumnarValue::Scalar(start) => panic!("{start} is no column"),
    }
}

proptest! {
    /// In order and out of order, before 1970, with nulls, in every part: what the engine's own function gives.
    #[test]
    fn the_same_as_the_engines(
        // The engine's own knows no weeks, months and years before 1678 and after 2261.
        mut times in prop::collection::vec(prop::option::of(-9_000_000_000_000_000..9_000_000_000_000_000_i64), 0..60),
        far in prop::collection::vec(-200_000_000_000_000_000..200_000_000_000_000_000_i64, 0..20),
        near in prop::collection::vec(prop::option::of(-200_000_000_000..200_000_000_000_i64), 0..60),
        in_order in any::<bool>(),
    ) {
        times.extend(near);
        if in_order {
            times.sort();
        }
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times));
        for part in ["microsecond", "millisecond", "second", "Minute", "hour", "DAY", "week", "month", "quarter", "year"] {
            prop_assert_eq!(&called(&date_trunc(), part, &times), &called(&datetime::date_trunc(), part, &times));
        }
        let far: ArrayRef = Arc::new(TimestampMicrosecondArray::from(far));
        for part in ["second", "minute", "hour", "day"] {
            prop_assert_eq!(&called(&date_trunc(), part, &far), &called(&datetime::date_trunc(), part, &far));
        }
    }
}

#[test]
fn a_time_of_a_zone_is_left_to_the_engine() {
    let zoned = TimestampMicrosecondArray::from(vec![1_774_747_800_000_000, 1_774_751_400_000_000]);
    let zoned: ArrayRef = Arc::new(zoned.with_timezone("Europe/Zurich"));
    for part in ["hour", "day"] {
        let expected = called(&datetime::date_trunc(), part, &zoned);
        assert_eq!(&called(&date_trunc(), part, &zoned), &expected);
        assert_eq!(expected.data_type(), zoned.data_type());
    }
}
