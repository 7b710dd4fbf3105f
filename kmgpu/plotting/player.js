// What matplotlib's player lacks: keys, the name of each step and its loss, words for a screen
// reader, the losses below the points on a narrow screen. It makes itself in a timeout of 0.
setTimeout(() => {
  const main = document.querySelector("main");
  const id = main.dataset.player;
  const player = window[`anim${id}`];
  const image = document.getElementById(`_anim_img${id}`);
  const slider = document.getElementById(`_anim_slider${id}`);
  const story = JSON.parse(document.getElementById("story").textContent);
  const losses = image.cloneNode();
  losses.removeAttribute("id");
  losses.className = "losses";
  main.querySelector(".animation").append(losses);
  slider.setAttribute("aria-label", "Step");

  const { set_frame, play_animation, next_frame, previous_frame } = player;
  player.set_frame = (number) => {
    set_frame.call(player, number);
    const { title, note, loss } = story[number];
    main.querySelector("h1").textContent = title;
    document.getElementById("note").textContent = note;
    document.getElementById("count").textContent = `${number + 1} of ${story.length}`;
    document.getElementById("loss").textContent = loss;
    slider.setAttribute("aria-valuetext", title);
    image.alt = [title, note, loss].filter(Boolean).join(". ");
    losses.src = image.src;
    losses.alt = loss;
  };
  player.play_animation = () => {
    if (player.current_frame >= story.length - 1) player.first_frame();
    play_animation.call(player);
  };
  const paused = (go) => () => {
    player.pause_animation();
    go.call(player);
  };
  player.next_frame = paused(next_frame);
  player.previous_frame = paused(previous_frame);
  player.set_frame(0);

  const keys = {
    " ": () => (player.direction ? player.pause_animation() : player.play_animation()),
    ArrowLeft: player.previous_frame,
    ArrowRight: player.next_frame,
    Home: paused(player.first_frame),
    End: paused(player.last_frame),
  };
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    const theirs = target.type === "radio" || (key === " " && target.tagName === "BUTTON");
    if (!(key in keys) || theirs || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    keys[key]();
  });
  // a button pressed with the mouse must not take the next space for itself
  document.addEventListener("click", (event) => {
    if (event.detail > 0) event.target.closest("button")?.blur();
  });
}, 0);
