"""The functions an expression may call: Snowflake's, of the kinds that look at values and nothing else.

What reads the session, the account, the clock or another table is left out: an expression must give the same value
whenever it is computed again.
"""

ROW = frozenset(
    """
    abs acos add_months array_append array_cat array_compact array_construct array_contains array_distinct array_size
    array_slice array_to_string as_array as_object as_varchar ascii asin atan atan2 base64_encode bitand bitor
    bitxor booland boolnot boolor cast cbrt ceil charindex chr coalesce collate concat concat_ws contains
    convert_timezone cos date_from_parts date_part date_trunc dateadd datediff datediff day dayname dayofmonth
    dayofweek dayofweekiso dayofyear decode degrees div0 div0null editdistance endswith equal_null exp extract factorial
    floor get get_path greatest greatest_ignore_nulls haversine hour iff ifnull initcap insert is_array is_boolean
    is_integer is_null_value is_object is_varchar jarowinkler_similarity last_day least least_ignore_nulls left len length
    ln log lower lpad ltrim md5 minute mod month monthname months_between next_day nullif nullifzero nvl nvl2
    object_keys parse_json parse_url pi position pow power previous_day quarter radians regexp_count regexp_instr
    regexp_like regexp_replace regexp_substr repeat replace reverse right round rpad rtrim second sha1 sha2 sign sin
    soundex split split_part sqrt square startswith strtok strtok_to_array substr substring tan time_from_parts
    time_slice timeadd timediff timestamp_from_parts timestamp_ntz_from_parts timestampadd timestampdiff to_array
    to_boolean to_char to_date to_decimal to_json to_number to_numeric to_time to_timestamp to_timestamp_ntz
    to_varchar to_variant translate trim trunc truncate try_cast try_parse_json try_to_boolean try_to_date try_to_decimal
    try_to_number try_to_numeric try_to_timestamp try_to_timestamp_ntz typeof unicode upper week weekiso width_bucket
    year yearofweek yearofweekiso zeroifnull
    """.split()
)
AGGREGATE = frozenset(
    """
    any_value approx_count_distinct approx_percentile array_agg avg booland_agg boolor_agg corr count count_if
    covar_pop covar_samp kurtosis listagg max max_by median min min_by mode object_agg percentile_cont
    percentile_disc skew stddev stddev_pop stddev_samp sum var_pop var_samp variance
    """.split()
)
