/**
 * The vocabulary of SQL's dialects, by the part a word plays. Sources: the reference manuals of MySQL,
 * PostgreSQL, SQL Server, Oracle, SQLite, DB2, Firebird.
 */
import { wordSet } from '../../../std/words.ts'

export const SQL_STATEMENTS = wordSet(`
  select union insert update delete drop create alter truncate exec execute declare waitfor shutdown call merge
  replace grant revoke begin print backup restore load handler rename intersect except minus set if procedure
  having kill prepare do
`)
export const SQL_LOGIC = wordSet(`
  or and xor not like rlike regexp ilike between similar sounds is in div mod where from order group limit by
  having case when null collate binary as into values using over order offset fetch then else end end
`)

/** Functions that mean SQL wherever they stand: delays, readers, error channels, catalog and shell access. */
export const SQL_ATTACK_FUNCTIONS = wordSet(`
  sleep benchmark pg_sleep pg_sleep_for pg_sleep_until load_file extractvalue updatexml xmltype utl_inaddr
  utl_http utl_file dbms_pipe dbms_lock dbms_utility dbms_ldap dbms_xmlgen dbms_xmlquery dbms_java user_lock
  ctxsys xp_cmdshell xp_dirtree xp_regread xp_fileexist sp_executesql sp_password sp_oacreate sp_configure
  openrowset opendatasource openquery randomblob load_extension regexp_substring generate_series make_set elt
  group_concat concat_ws name_const gtid_subset gtid_subtract json_keys st_latfromgeohash st_longfromgeohash
  polygon multipoint geometrycollection multilinestring multipolygon linestring pg_read_file pg_ls_dir lo_import
  lo_export query_to_xml database_to_xml dblink dblink_connect current_setting sqlid_to_sqlhash get_host_address
  receive_message crypt_key httpuritype iif ifnull nvl2 sqlite_version analyse xp_availablemedia row_count
  found_rows last_insert_id aes_decrypt aes_encrypt exp
`)
/** Functions that also exist elsewhere; they count inside an SQL structure. */
export const SQL_PLAIN_FUNCTIONS = wordSet(`
  concat char chr nchar ascii ord hex unhex substr substring mid left right length len char_length version
  database schema user current_user session_user system_user count sum min max avg floor rand round ceil ceiling
  abs sin cos tan pi md5 sha1 sha2 cast convert if ifnull nullif coalesce nvl isnull upper lower ucase lcase
  trim ltrim rtrim replace repeat reverse space position instr locate strcmp format now sysdate curdate curtime
  date time year month day current_date current_timestamp getdate greatest least decode lpad rpad bin oct conv
  field find_in_set inet_aton uuid row values quote compress uncompress log ln log2 log10 power sqrt sign
  truncate to_char to_number to_date rownum date_add date_sub datediff encode soundex stuff string_agg listagg
  array_agg typeof quotename print_strings binary exists any all some
`)
export const SQL_FUNCTIONS: ReadonlySet<string> = new Set([...SQL_ATTACK_FUNCTIONS, ...SQL_PLAIN_FUNCTIONS])

/** Catalogs and system values: naming one is reaching for the schema. */
export const SQL_NAMES = wordSet(`
  information_schema sysobjects syscolumns sysusers sysdatabases systables sysibm syscat all_users all_tables
  all_tab_columns user_tables user_tab_columns dba_users pg_catalog pg_shadow pg_user pg_tables pg_class
  pg_database sqlite_master sqlite_schema msysaces msysobjects mysqladmin master msdb northwind tempdb dual
  domain rdb$database outfile dumpfile xp_cmdshell character_sets schema_name msysaccessobjects msysaccessxml
  msysrelationships msysqueries syscolumns utl_smtp table_name column_name table_schema db_name sys v$version
  waitfor delay version_compile_os datadir basedir hostname current_date current_time current_timestamp
  localtimestamp utc_date utc_time utc_timestamp current_user session_user system_user
`)

/** Operators spelled as words. */
export const SQL_WORD_OPERATORS = wordSet(`
  like rlike regexp ilike between similar sounds div mod is in glob match collate binary escape overlaps
  contains
`)
export const SQL_LOGICAL = wordSet('or and xor')
/** Words that carry a clause on. */
export const SQL_CLAUSES = wordSet(`
  where from order group limit having into procedure when then case else end as by offset using values set for
  returning window join on inner outer left right natural cross table database
`)
