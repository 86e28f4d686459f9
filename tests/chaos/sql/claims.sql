-- Claims that somebody still has, with nobody at work.
select format('run %s still claims %s of %s', c.run_id, c.partition, c.domain) from interlock.claim c
