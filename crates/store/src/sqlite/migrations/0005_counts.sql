-- For the limits on active tasks: they are counted at each createTask and in each list.
CREATE INDEX tasks_counted ON tasks (kind, active, owner);
