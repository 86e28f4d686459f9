-- How the last attempt of each phase of a run ended.
select distinct on (p.phase) p.phase, p.state from interlock.phase p where p.run_id = %(run_id)s order by p.phase, p.phase_id desc
