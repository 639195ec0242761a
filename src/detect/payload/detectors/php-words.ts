/** PHP functions that reach the system, files, code or the network, and so make a call of them telling. */
import { wordSet } from '../../../std/words.ts'

/** Names no other language or sentence uses. */
export const PHP_STRONG = wordSet(`
  shell_exec passthru proc_open popen pcntl_exec base64_decode base64_encode file_get_contents file_put_contents
  move_uploaded_file fsockopen pfsockopen create_function call_user_func call_user_func_array func_get_args
  phpinfo phpversion php_uname php_sapi_name php_ini_loaded_file get_defined_vars get_defined_functions
  get_defined_constants ini_get ini_set ini_get_all ini_restore set_include_path get_include_path highlight_file
  show_source php_strip_whitespace parse_ini_file str_rot13 gzinflate gzuncompress gzdecode preg_replace
  preg_replace_callback preg_match preg_grep preg_split mb_ereg_replace array_map array_filter array_walk
  array_diff_ukey usort uasort uksort register_shutdown_function register_tick_function set_error_handler
  set_exception_handler stream_get_contents stream_socket_client stream_context_create curl_exec curl_init
  curl_multi_exec posix_getuid posix_geteuid posix_getpwuid posix_getegid posix_kill posix_mkfifo posix_setuid
  apache_child_terminate apache_setenv define_syslog_variables openlog mysql_query mysqli_query pg_query
  pg_connect mysql_connect sqlite_query odbc_exec odbc_connect odbc_result odbc_connection_string_should_quote
  unserialize var_dump var_export print_r debug_backtrace debug_zval_refcount extract_to is_callable
  function_exists is_executable file_exists is_readable is_writable symlink readlink linkinfo fpassthru
  readgzfile gzopen bzopen gzfile gzpassthru simplexml_load_file simplexml_load_string tempnam tmpfile dl_open
  escapeshellcmd escapeshellarg getenv putenv getmyuid getcwd scandir opendir readdir rmdir mkdir
  disk_free_space fputs fwrite fread fopen fgets fgetc fputcsv chgrp chown chmod unlink readfile ftp_get ftp_put
  ftp_connect assert_options hex2bin bin2hex convert_uuencode str_replace str_repeat substr_count substr_compare
  strrev strtr sprintf vsprintf printf fprintf sscanf is_array is_numeric is_object is_string intval floatval
  boolval settype gettype array_key_exists array_search array_pop array_push array_merge in_array implode
  explode nl2br htmlentities htmlspecialchars addslashes stripslashes date_add date_default_timezone_get
  date_default_timezone_set session_start session_id setcookie header_remove http_response_code set_time_limit
  ignore_user_abort error_log error_reporting restore_error_handler trigger_error iptcembed image2wbmp imagejpeg
  imagepng getimagesize exif_read_data read_exif_data hash_file hash_hmac_file md5_file sha1_file
  mb_convert_encoding utf8_decode iconv class_exists get_class_methods get_object_vars method_exists zip_open
  ob_start ob_get_contents ob_get_clean filter_input filter_var mail_send eio_open is_dir is_file is_link is_int
  is_null lcfirst ucfirst ucwords
`)
/** Names that other languages and sentences use too: they need their parentheses filled. */
export const PHP_SHARED = wordSet(`
  system exec eval assert include require include_once require_once print echo die exit chr ord dl file copy
  rename touch stat tell seek mail link glob glob_read passwd sort date time define constant count end key list
  pack unpack popen move delete array each next reset range min max implode join split exp log pi round floor
  hash md5 sha1 crypt crc32 file_exist stripos strpos substr trim
`)
export const PHP_FUNCTIONS: ReadonlySet<string> = new Set([...PHP_STRONG, ...PHP_SHARED])

/** Settings of php.ini and of common extensions, by the prefix before their dot, and those without one. */
export const PHP_SETTING_PREFIXES = wordSet(`
  allow_url auto_prepend auto_append mbstring session opcache xdebug zend pcre mysqli mysqlnd pgsql soap date
  assert cgi cli curl ffi iconv intl ldap mail oci8 odbc openssl pdo pdo_odbc pdo_mysql phar posix
  realpath_cache sqlite3 sysvshm tidy uploadprogress url_rewriter user_ini zlib hard_timeout highlight ibase
  filter exif com apc apcu
`)
export const PHP_SETTINGS = wordSet(`
  allow_url_fopen allow_url_include auto_prepend_file auto_append_file disable_functions disable_classes
  open_basedir safe_mode display_errors display_startup_errors error_append_string error_prepend_string
  enable_dl enable_post_data_reading file_uploads upload_tmp_dir upload_max_filesize max_file_uploads
  memory_limit max_execution_time max_input_time max_input_vars post_max_size register_argc_argv
  register_globals short_open_tag unserialize_callback_func unserialize_max_depth variables_order request_order
  arg_separator default_charset default_mimetype default_socket_timeout doc_root docref_ext docref_root
  expose_php extension_dir gd_jpeg_ignore_warning html_errors ignore_repeated_errors ignore_repeated_source
  ignore_user_abort implicit_flush include_path input_encoding internal_encoding log_errors output_buffering
  output_encoding output_handler precision report_memleaks serialize_precision suhosin sys_temp_dir syslog
  track_errors user_agent user_dir xmlrpc_error_number xmlrpc_errors zend_extension cgi_fix_pathinfo
`)
