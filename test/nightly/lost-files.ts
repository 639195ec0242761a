// Every file that a server holds open is taken away in every way, with one worker and with two.
process.env.NEKO_TEST_LONG = '1'
await import('../processes/lost-files.system.test.ts')
