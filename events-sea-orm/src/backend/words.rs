//! What is known of SQL words: functions that only read, and what may stand before a parenthesis without being one.
//!
//! These are lists of what may pass. What is missing is refused, and may be added once it is known to change nothing:
//! no row, no sequence, no setting, no lock that outlives the transaction, and nothing outside of the database.

use std::{collections::HashSet, sync::LazyLock};

use sea_orm::DbBackend;

type Words = LazyLock<HashSet<&'static str>>;

/// Words before a parenthesis that are no functions: keywords, and types with a length. None of them is a name that a
/// function may have without quotes, on any of the three.
static KEYWORDS: Words = LazyLock::new(|| {
    words(
        "all and any array as asymmetric between binary bit by case char character conflict cross dec decimal distinct else \
         except exists filter float from group having in inner int integer intersect interval is join lateral left like limit \
         natural not numeric nvarchar offset on or over right returning rollup row select set some then time timestamp to union \
         using values varbinary varchar when where window with",
    )
});

static POSTGRES_KEYWORDS: Words = LazyLock::new(|| {
    words(
        "bernoulli bpchar columns cube escape ilike isnull materialized nchar notnull sets similar symmetric system timestamptz \
         timetz varbit varying within",
    )
});

static MYSQL_KEYWORDS: Words = LazyLock::new(|| {
    words(
        "against columns cube distinctrow div escape index minus nchar partition regexp rlike similar straight_join system \
         unsigned varying within xor zone",
    )
});

static SQLITE_KEYWORDS: Words = LazyLock::new(|| {
    words("columns escape glob index indexed isnull materialized nchar notnull partition regexp within")
});

/// Functions of all three.
const COMMON: &str = "abs acos asin atan atan2 avg ceil ceiling coalesce concat concat_ws cos cot count cume_dist date degrees dense_rank \
     exp extract first_value floor format greatest lag last_value lead least left length ln log log10 lower lpad ltrim max \
     min mod nth_value ntile nullif octet_length percent_rank pi position pow power radians rank replace reverse right \
     round row_number rpad rtrim sign sin sqrt stddev stddev_pop stddev_samp substr substring sum tan time timestamp trim \
     trunc unhex upper var_pop var_samp variance cast char hex rand random if ifnull";

static POSTGRES: Words = LazyLock::new(|| {
    let mut all = words(COMMON);
    all.extend(words(
        "acosd acosh age array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims \
         array_position array_positions array_prepend array_remove array_replace array_sample array_shuffle \
         array_to_json array_to_string array_to_tsvector array_upper any_value ascii asind asinh atan2d atand atanh bit_and \
         bit_count bit_length bit_or bit_xor bool_and bool_or box broadcast btrim cardinality cbrt center char_length \
         character_length chr circle clock_timestamp col_description convert convert_from convert_to corr cosd cosh cotd \
         covar_pop covar_samp crc32 current_database current_query current_schema current_schemas current_setting currval \
         date_add date_bin date_part date_subtract date_trunc decode diagonal diameter digest div dmetaphone \
         daitch_mokotoff difference encode enum_first enum_last enum_range erf erfc every factorial family format_type \
         gamma gcd gen_random_uuid generate_series generate_subscripts get_bit get_byte get_current_ts_config \
         has_any_column_privilege has_column_privilege has_database_privilege has_schema_privilege \
         has_sequence_privilege has_table_privilege height hmac host hostmask inet_merge inet_same_family \
         inet_client_addr inet_server_addr initcap is_normalized isclosed isempty isfinite isopen json json_agg \
         json_array json_arrayagg json_array_elements json_array_elements_text json_array_length json_build_array \
         json_build_object json_each json_each_text json_exists json_extract_path json_extract_path_text json_object \
         json_objectagg json_object_agg json_object_keys json_populate_record json_populate_recordset json_query \
         json_scalar json_serialize json_strip_nulls json_table json_to_record json_to_recordset json_typeof json_value \
         jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array \
         jsonb_build_object jsonb_delete_path jsonb_each jsonb_each_text jsonb_exists jsonb_exists_all jsonb_exists_any \
         jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys \
         jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query \
         jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz \
         jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax \
         jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval \
         lastval lcm levenshtein levenshtein_less_equal line localtime localtimestamp lseg macaddr8_set7bit make_date \
         make_interval make_time make_timestamp make_timestamptz masklen md5 merge_action metaphone min_scale mode \
         multirange netmask network normalize now npoints num_nonnulls num_nulls numnode obj_description overlay \
         parse_ident path percentile_cont percentile_disc pg_backend_pid pg_client_encoding pg_column_size \
         pg_collation_for pg_current_snapshot pg_current_xact_id_if_assigned pg_database_size pg_get_constraintdef \
         pg_get_expr pg_get_indexdef pg_get_serial_sequence pg_get_userbyid pg_get_viewdef pg_has_role \
         pg_indexes_size pg_relation_size pg_size_bytes pg_size_pretty pg_sleep pg_snapshot_xmax pg_snapshot_xmin \
         pg_table_size pg_total_relation_size pg_typeof pg_visible_in_snapshot phraseto_tsquery \
         plainto_tsquery point polygon popen pclose querytree quote_ident quote_literal quote_nullable radius range_agg \
         range_intersect_agg range_merge regexp_count regexp_instr regexp_like regexp_match regexp_matches \
         regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr regr_avgx regr_avgy regr_count \
         regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat row_to_json row_security_active scale \
         set_bit set_byte set_masklen setweight sha224 sha256 sha384 sha512 similarity sind sinh slope soundex split_part \
         starts_with statement_timestamp strict_word_similarity string_agg string_to_array string_to_table strip strpos \
         tand tanh timeofday to_ascii to_bin to_char to_date to_hex to_json to_jsonb to_number to_oct to_regclass \
         to_regnamespace to_regproc to_regrole to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp \
         translate treat trim_array trim_scale ts_debug ts_delete ts_filter ts_headline ts_lexize ts_parse ts_rank \
         ts_rank_cd ts_token_type tsquery_phrase tsvector_to_array txid_current_if_assigned unaccent unicode_version \
         unistr unnest uuid_extract_timestamp uuid_extract_version uuid_generate_v1 uuid_generate_v4 uuid_generate_v5 \
         uuidv4 uuidv7 version websearch_to_tsquery width width_bucket word_similarity xml_is_well_formed xmlagg \
         xmlattributes xmlcomment xmlconcat xmlelement xmlexists xmlforest xmlparse xmlpi xmlroot xmlserialize xmltable \
         xmlnamespaces xpath xpath_exists lower_inc lower_inf upper_inc upper_inf abbrev area ishorizontal \
         isparallel isperp isvertical bound_box int2 int4 int8 float4 float8 bool text date daterange datemultirange \
         int4range int4multirange int8range int8multirange numrange nummultirange tsrange tsmultirange tstzrange \
         tstzmultirange hstore akeys avals skeys svals hstore_to_json slice delete_key exist defined",
    ));
    all
});

static MYSQL: Words = LazyLock::new(|| {
    let mut all = words(COMMON);
    all.extend(words(
        "adddate add_months addtime aes_decrypt aes_encrypt any_value ascii astext aswkb aswkt bin bin_to_uuid bit_and \
         bit_count bit_length bit_or bit_xor char_length character_length charset chr coercibility collation column_check \
         column_create column_exists column_get column_json column_list compress connection_id contains conv convert \
         convert_tz convexhull cosh crc32 crc32c crosses curdate current_date current_role current_time \
         current_timestamp current_user curtime database date_add date_format date_sub datediff datetime day dayname \
         dayofmonth dayofweek dayofyear decode decode_oracle default des_decrypt disjoint distance elt encode encrypt \
         envelope equals export_set extractvalue field find_in_set found_rows from_base64 from_days from_unixtime \
         geometrycollection geometryn geometrytype geomfromtext geomfromwkb grouping group_concat hour inet6_aton \
         inet6_ntoa inet_aton inet_ntoa insert instr intersects is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_uuid \
         isnull json_array json_array_append json_array_insert json_arrayagg json_compact json_contains \
         json_contains_path json_depth json_detailed json_equals json_exists json_extract json_insert json_keys \
         json_length json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object json_objectagg \
         json_overlaps json_pretty json_query json_quote json_remove json_replace json_schema_valid json_search json_set \
         json_storage_size json_table json_type json_unquote json_valid json_value kdf last_day last_insert_id lcase \
         lengthb linestring localtime localtimestamp locate log2 make_set makedate maketime match mbrcontains \
         mbrequal mbrintersects mbrwithin md5 median microsecond mid minute month monthname multilinestring multipoint \
         multipolygon name_const natural_sort_key now nvl nvl2 oct ord overlaps password percentile_cont percentile_disc \
         period_add period_diff point polygon quarter quote random_bytes regexp_instr regexp_like regexp_replace \
         regexp_substr repeat row_count schema sec_to_time second session_user sformat sha sha1 sha2 sleep \
         soundex space st_area st_asbinary st_asgeojson st_astext st_buffer st_centroid st_contains st_crosses \
         st_difference st_dimension st_disjoint st_distance st_distance_sphere st_endpoint st_envelope st_equals \
         st_geomfromgeojson st_geomfromtext st_geomfromwkb st_geometrytype st_intersection st_intersects st_isempty \
         st_isvalid st_length st_numpoints st_overlaps st_pointfromtext st_polygonfromtext st_simplify st_srid st_startpoint \
         st_symdifference st_touches st_union st_within st_x st_y std str_to_date strcmp subdate substring_index subtime \
         sys_guid sysdate system_user time_format time_to_sec timediff timestampadd timestampdiff to_base64 to_char to_days \
         to_seconds touches truncate ucase uncompress uncompressed_length unix_timestamp updatexml user utc_date utc_time \
         utc_timestamp uuid uuid_short uuid_to_bin value version week weekday weekofyear weight_string within year \
         yearweek signed unsigned",
    ));
    all
});

static SQLITE: Words = LazyLock::new(|| {
    let mut all = words(COMMON);
    all.extend(words(
        "acosh asinh atanh bm25 changes cosh datetime fts5_source_id geopoly_area geopoly_contains_point geopoly_overlap \
         geopoly_within generate_series group_concat highlight iif instr json json_array json_array_length json_each \
         json_error_position json_extract json_group_array json_group_object json_insert json_object json_patch json_pretty \
         json_quote json_remove json_replace json_set json_tree json_type json_valid jsonb jsonb_array jsonb_each \
         jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove \
         jsonb_replace jsonb_set jsonb_tree julianday last_insert_rowid likelihood likely log2 match matchinfo median offsets \
         percentile percentile_cont percentile_disc pragma_collation_list pragma_compile_options pragma_database_list \
         pragma_foreign_key_list pragma_function_list pragma_index_info pragma_index_list pragma_index_xinfo \
         pragma_module_list pragma_pragma_list pragma_table_info pragma_table_list pragma_table_xinfo printf quote \
         randomblob sinh snippet soundex sqlite_compileoption_get sqlite_compileoption_used sqlite_source_id \
         sqlite_version strftime string_agg tanh timediff total total_changes typeof unicode unistr unistr_quote unixepoch \
         unlikely zeroblob",
    ));
    all
});

/// What writes may call besides: it draws numbers, whose gaps nobody counts.
static IN_WRITES: Words = LazyLock::new(|| words("nextval"));

/// Functions of PostgreSQL that lock or notify for as long as the transaction lasts.
static LASTING: Words = LazyLock::new(|| {
    words(
        "pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_xact_lock \
         pg_try_advisory_xact_lock_shared pg_notify",
    )
});

fn words(list: &'static str) -> HashSet<&'static str> {
    list.split_ascii_whitespace().collect()
}

fn is_in(list: &HashSet<&str>, word: &str) -> bool {
    match lowered(word, &mut [0; LONGEST]) {
        Some(lower) => list.contains(lower),
        None => false,
    }
}

/// Longer than any word that is known.
const LONGEST: usize = 40;

/// The word in small letters, where no letter but ASCII's is in it: others may fold to something else elsewhere.
fn lowered<'a>(word: &'a str, space: &'a mut [u8; LONGEST]) -> Option<&'a str> {
    if !word.is_ascii() {
        return None;
    }
    if !word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(word);
    }
    let space = space.get_mut(..word.len())?;
    space.copy_from_slice(word.as_bytes());
    space.make_ascii_lowercase();
    std::str::from_utf8(space).ok()
}

/// Whether a word before a parenthesis is no function.
pub(crate) fn is_keyword(backend: DbBackend, word: &str) -> bool {
    let more = match backend {
        DbBackend::Postgres => &POSTGRES_KEYWORDS,
        DbBackend::MySql => &MYSQL_KEYWORDS,
        _ => &SQLITE_KEYWORDS,
    };
    is_in(&KEYWORDS, word) || is_in(more, word)
}

/// Whether a function of this name only reads.
pub(crate) fn reads(backend: DbBackend, function: &str) -> bool {
    let list = match backend {
        DbBackend::Postgres => &POSTGRES,
        DbBackend::MySql => &MYSQL,
        _ => &SQLITE,
    };
    is_in(list, function)
}

/// Whether a write may call it although it is no read.
pub(crate) fn is_drawn_in_writes(backend: DbBackend, function: &str) -> bool {
    backend == DbBackend::Postgres && is_in(&IN_WRITES, function)
}

/// Whether what it does lasts until the transaction ends, and changes no row.
pub(crate) fn lasts(backend: DbBackend, function: &str) -> bool {
    backend == DbBackend::Postgres && is_in(&LASTING, function)
}

/// The schema of the functions that the server brings.
pub(crate) fn is_own_schema(backend: DbBackend, schema: &str) -> bool {
    backend == DbBackend::Postgres && schema.eq_ignore_ascii_case("pg_catalog")
}

/// Settings that `SET LOCAL` may set: they end with the transaction, and say nothing about who acts or how text is read.
pub(crate) const LOCAL_SETTINGS: &[&str] = &[
    "constraint_exclusion",
    "enable_bitmapscan",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_seqscan",
    "enable_sort",
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "max_parallel_workers_per_gather",
    "plan_cache_mode",
    "random_page_cost",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
    "work_mem",
];

/// SQLite's pragmas that ask.
pub(crate) fn pragma_reads(name: &str, with_argument: bool) -> bool {
    const ASK: &[&str] = &[
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    ];
    const ASK_WITHOUT_ARGUMENT: &[&str] = &[
        "application_id",
        "auto_vacuum",
        "busy_timeout",
        "cache_size",
        "collation_list",
        "compile_options",
        "data_version",
        "database_list",
        "defer_foreign_keys",
        "encoding",
        "foreign_keys",
        "freelist_count",
        "function_list",
        "journal_mode",
        "locking_mode",
        "max_page_count",
        "mmap_size",
        "module_list",
        "page_count",
        "page_size",
        "pragma_list",
        "query_only",
        "recursive_triggers",
        "schema_version",
        "secure_delete",
        "synchronous",
        "temp_store",
        "user_version",
        "wal_autocheckpoint",
    ];
    let is = |list: &[&str]| super::tokens::is_any(name, list);
    // The second ends with the transaction.
    is(ASK) || (with_argument && is(&["defer_foreign_keys"])) || (!with_argument && is(ASK_WITHOUT_ARGUMENT))
}

/// First words of statements that change the schema, or end or steer the transaction or the session. `SET` is here for
/// settings that stay with the pooled connection, or say who acts and how.
pub(crate) const SCHEMA: &[&str] = &[
    "abort",
    "alter",
    "analyse",
    "analyze",
    "attach",
    "backup",
    "begin",
    "check",
    "cluster",
    "comment",
    "commit",
    "create",
    "deallocate",
    "detach",
    "discard",
    "drop",
    "end",
    "flush",
    "grant",
    "import",
    "listen",
    "lock",
    "optimize",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "rename",
    "repair",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "set",
    "start",
    "truncate",
    "unlisten",
    "unlock",
    "use",
    "vacuum",
    "xa",
];

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [DbBackend; 3] = [DbBackend::Postgres, DbBackend::MySql, DbBackend::Sqlite];

    #[test]
    fn no_known_function_writes_steers_or_runs_text() {
        for function in [
            "benchmark",
            "binlog_gtid_pos",
            "crosstab",
            "cursor_to_xml",
            "database_to_xml",
            "dblink",
            "dblink_exec",
            "edit",
            "eval",
            "fts3_tokenizer",
            "get_lock",
            "is_free_lock",
            "load_extension",
            "load_file",
            "lo_create",
            "lo_import",
            "lo_put",
            "lo_unlink",
            "lowrite",
            "master_pos_wait",
            "nextval",
            "pg_advisory_lock",
            "pg_cancel_backend",
            "pg_current_xact_id",
            "pg_export_snapshot",
            "pg_ls_dir",
            "pg_read_file",
            "pg_reload_conf",
            "pg_stat_reset",
            "pg_terminate_backend",
            "pg_try_advisory_lock",
            "query_to_xml",
            "readfile",
            "release_all_locks",
            "release_lock",
            "set_config",
            "setseed",
            "setval",
            "table_to_xml",
            "ts_rewrite",
            "ts_stat",
            "txid_current",
            "writefile",
            "xpath_table",
        ] {
            for backend in ALL {
                assert!(!reads(backend, function), "{backend:?}: {function}");
                assert!(!is_keyword(backend, function), "{function}");
            }
        }
    }

    #[test]
    fn names_are_found_in_any_letters() {
        for backend in ALL {
            assert!(reads(backend, "COUNT") && reads(backend, "Coalesce"));
            assert!(!reads(backend, "coun\u{a7b7}") && !reads(backend, &"a".repeat(1_000).to_uppercase()));
        }
        for backend in ALL {
            assert!(
                is_keyword(backend, "IN") && is_keyword(backend, "values") && !is_keyword(backend, "call")
            );
        }
        // An application may have a function of such a name where it is no keyword.
        assert!(is_keyword(DbBackend::MySql, "against") && !is_keyword(DbBackend::Postgres, "against"));
    }
}
