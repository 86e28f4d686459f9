-- Runs that began and were never seen to end: what `interlock runs` shows as such.
select r.run_id from interlock.run r where r.state = 'running' order by r.run_id
