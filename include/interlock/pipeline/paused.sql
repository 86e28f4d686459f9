select d.name, format('paused since %%s UTC by %%s (action %%s): %%s',
  to_char(p.paused_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), p.paused_by, p.action_id, p.reason)
from interlock.pause p join interlock.dataset d on d.dataset_id = p.dataset_id
where p.resumed_at is null
