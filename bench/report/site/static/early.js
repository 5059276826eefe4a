// Runs before anything is laid out: where scripts run, room is kept for charts and filters, so that nothing moves later.
document.documentElement.classList.add("scripted");
