const answer = await fetch("data/overview");
document.getElementById("out").textContent = JSON.stringify(await answer.json(), null, 2);
