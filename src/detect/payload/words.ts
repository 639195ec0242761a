/**
 * Words that make a detector worth running. They gate, they never accuse: the structure around them is judged
 * elsewhere.
 */
import { words } from '../../std/words.ts'
import { SHELL_COMMANDS, SHELL_WORDLIKE, WINDOWS_COMMANDS } from './detectors/command-words.ts'
import { PHP_FUNCTIONS } from './detectors/php-words.ts'
import { SQL_FUNCTIONS, SQL_NAMES, SQL_STATEMENTS, SQL_LOGIC } from './detectors/sql-words.ts'

export const WORD = {
  sqlStatement: 1 << 0,
  sqlLogic: 1 << 1,
  sqlFunction: 1 << 2,
  sqlName: 1 << 3,
  shell: 1 << 4,
  shellWordlike: 1 << 5,
  windows: 1 << 6,
  php: 1 << 7,
  script: 1 << 8,
  java: 1 << 9,
  template: 1 << 10,
  scheme: 1 << 11,
  prototype: 1 << 12,
  html: 1 << 13,
  mail: 1 << 14,
  sessionName: 1 << 15
} as const

export const WORDS_BY_KIND: Array<[number, Iterable<string>]> = [
  [WORD.sqlStatement, SQL_STATEMENTS],
  [WORD.sqlLogic, SQL_LOGIC],
  [WORD.sqlFunction, SQL_FUNCTIONS],
  [WORD.sqlName, SQL_NAMES],
  [WORD.shell, SHELL_COMMANDS],
  [WORD.shellWordlike, SHELL_WORDLIKE],
  [WORD.windows, WINDOWS_COMMANDS],
  [WORD.php, PHP_FUNCTIONS],
  [
    WORD.script,
    words(`
      alert confirm prompt eval function document window self top parent frames globalthis settimeout
      setinterval settimeout execscript string fromcharcode innerhtml cookie location localstorage constructor
      require process child_process console module exports while for import fetch xmlhttprequest atob btoa
      unescape decodeuricomponent msgbox expression return this db sleep node nd_func __js_function
      queryselector core buffer global globals valueof tostring array object reflect proxy promise math execsync
      spawn spawnsync exec execute deno bun subprocess
    `)
  ],
  [
    WORD.java,
    words(`
      java javax javassist runtime processbuilder getruntime classloader org com ognl springframework
      invokertransformer instantiatetransformer clonetransformer forclosure whileclosure instantiatefactory
      prototypeclonefactory prototypeserializationfactory beanutils corba jboss omg weblogic jndi memberaccess
      _memberaccess allowstaticmethodaccess getclass forname newinstance class module rmi unmarshaller
    `)
  ],
  [
    WORD.template,
    words(`
      self config request __class__ __globals__ __init__ __mro__ __subclasses__ __builtins__ __import__ os
      system popen getclass lipsum cycler joiner namespace attr filter freemarker execute new t assign
      constructor subclasses mro getruntime settings debug env import include if for set print end smarty php
      velocity class base
    `)
  ],
  [
    WORD.scheme,
    words(`
      http https ftp ftps file gopher dict ldap ldaps tftp sftp ssh2 php phar zip zlib glob expect data ogg rar
      jar netdoc local_file javascript vbscript livescript view smb smbs sip url rmi jndi iiop dns nntp imap
      pop3 smtp telnet rsync mailto acap irc rtmp xri bzip2 compress ssh svn git ws wss redis about mocha feed
      res mhtml
    `)
  ],
  [WORD.prototype, words('__proto__ prototype constructor __definegetter__ __definesetter__')],
  [
    WORD.html,
    words(`
      script iframe img svg body object embed style link meta base form input textarea video audio marquee
      applet layer ilayer bgsound isindex xml onerror onload onclick onmouseover onfocus
    `)
  ],
  [
    WORD.mail,
    words(`
      bcc cc from subject rcpt ehlo helo mail to data vrfy stls retr uidl list stat auth login starttls noop
      quit append fetch status select capability
    `)
  ],
  [WORD.sessionName, words(`
    sessionid session_id phpsessid jsessionid aspsessionid sessid sid session
  `)]
]
