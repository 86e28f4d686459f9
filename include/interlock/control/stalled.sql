-- Actions that whoever sweeps has to take further: approved and not executed, not decided because nobody could, or run out.
select a.action_id
from interlock.action a
where a.state = 'approved'
  or (a.state = 'proposed' and (a.expires_at <= clock_timestamp() or a.decision ->> 'failure' is not null))
order by a.action_id
