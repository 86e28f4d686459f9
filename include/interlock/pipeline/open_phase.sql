-- The phase that a run is in: its newest, where that has not ended.
select p.phase_id
from interlock.phase p
where p.run_id = %(run_id)s and p.state = 'started'
  and not exists (select from interlock.phase later where later.run_id = p.run_id and later.phase_id > p.phase_id)
