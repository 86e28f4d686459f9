-- Consumers and metrics as the database knows them, each with the datasets that it stands on.
select x.kind, x.name, x.owner, x.contact,
  array(select d.name from interlock.dataset d where d.dataset_id = any (x.dataset_ids) order by d.name collate "C")
from interlock.dependent x
